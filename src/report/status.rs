//! The state of a fleet as a table.

use std::path::Path;

use super::palette::{Palette, Tone};
use super::plain::plain;
use super::status_json::{RowJson, StateWord};
use super::{StatusJson, table};
use crate::model::Bytes;

const HEAD: [&str; 8] = ["NAME", "STATE", "ADDRESS", "IMAGE", "MEMORY", "CPUS", "UPTIME", "DRIFT"];

/// `status` as a table.
pub(crate) fn status(status: &StatusJson, palette: Palette) -> String {
    let rows: Vec<Vec<String>> = status.containers.iter().map(cells).collect();
    let text = table(&HEAD, &rows);
    let mut lines = text.lines();
    let head = lines.next().map(|head| palette.paint(Tone::Strong, head));
    let body = lines.zip(&status.containers).map(|(line, row)| coloured(line, row, palette));
    let heading = || palette.paint(Tone::Change, "drift on the host:");
    let host = status.drift.iter().map(|words| format!("{} {}", heading(), plain(words)));
    head.into_iter().chain(body).chain(host).map(|line| line + "\n").collect()
}

fn cells(row: &RowJson) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let notes: Vec<&str> = row.detail.iter().chain(&row.drift).map(String::as_str).collect();
    vec![
        row.name.clone(),
        row.state.as_str().to_owned(),
        addresses(row),
        or_dash(row.image.as_deref().map(image)),
        memory(row),
        or_dash(row.cpus.map(|cpus| cpus.to_string())),
        or_dash(row.uptime_s.map(uptime)),
        if notes.is_empty() { "-".to_owned() } else { notes.join("; ") },
    ]
}

fn addresses(row: &RowJson) -> String {
    let addresses: Vec<&str> = [&row.ip, &row.ip6].into_iter().flatten().map(String::as_str).collect();
    if addresses.is_empty() { "-".to_owned() } else { addresses.join(" ") }
}

/// Of a file its name: the whole path is in the JSON.
fn image(source: &str) -> String {
    let path = source.strip_prefix("file:").map(Path::new);
    let name = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| source.to_owned())
}

fn memory(row: &RowJson) -> String {
    let amount = |bytes: u64| Bytes(bytes).to_string();
    match (row.memory.used, row.memory.limit) {
        (Some(used), Some(limit)) => format!("{} / {}", amount(used), amount(limit)),
        (Some(used), None) => amount(used),
        (None, Some(limit)) => format!("- / {}", amount(limit)),
        (None, None) => "-".to_owned(),
    }
}

/// The two largest units.
fn uptime(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

/// The state's word in its colour; the line is aligned already.
fn coloured(line: &str, row: &RowJson, palette: Palette) -> String {
    let tone = match row.state {
        StateWord::Running if row.drift.is_empty() => Tone::Good,
        StateWord::Running | StateWord::Frozen | StateWord::Restarting | StateWord::Stopped => Tone::Change,
        StateWord::Absent => Tone::Faint,
        StateWord::Incomplete | StateWord::Foreign => Tone::Bad,
    };
    let (name, rest) = line.split_at(row.name.len());
    name.to_owned() + &rest.replacen(row.state.as_str(), &palette.paint(tone, row.state.as_str()), 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::example::{fleet, running_host};

    #[test]
    fn the_table_has_use_and_limit_side_by_side() {
        let drift = [("web".parse().expect("a name"), vec!["absent".to_owned()])].into();
        let shown = StatusJson::new(&fleet(&["agent-1", "web"]), &running_host(&["agent-1"]), &drift, 1090);
        insta::assert_snapshot!(status(&shown, Palette::Plain), @r"
        NAME     STATE    ADDRESS     IMAGE    MEMORY        CPUS  UPTIME  DRIFT
        agent-1  running  10.42.0.11  busybox  1MiB / 64MiB  0.5   1m 30s  -
        web      absent   10.42.0.11  busybox  - / 64MiB     0.5   -       absent
        ");
    }

    #[test]
    fn what_containers_share_is_below_the_table() {
        let shown = StatusJson::new(&fleet(&["web"]), &running_host(&["web"]), &BTreeMap::new(), 1090);
        let shown = shown.with_host_drift(vec!["fleet0: bridge is down".to_owned()]);
        insta::assert_snapshot!(status(&shown, Palette::Plain), @r"
        NAME  STATE    ADDRESS     IMAGE    MEMORY        CPUS  UPTIME  DRIFT
        web   running  10.42.0.11  busybox  1MiB / 64MiB  0.5   1m 30s  -
        drift on the host: fleet0: bridge is down
        ");
    }

    #[test]
    fn nothing_that_a_guest_named_is_obeyed_by_a_terminal() {
        let hidden = || vec!["link eth0 is called `\x1b[8m`".to_owned()];
        let drift = [("web".parse().expect("a name"), hidden())].into();
        let shown = StatusJson::new(&fleet(&["web"]), &running_host(&["web"]), &drift, 1090);
        let drawn = status(&shown.with_host_drift(hidden()), Palette::Plain);
        assert_eq!(drawn.matches("link eth0 is called `^[[8m`").count(), 2, "{drawn}");
        assert!(!drawn.contains('\x1b'), "{drawn:?}");
    }

    #[test]
    fn of_an_image_in_a_file_the_name_is_shown() {
        assert_eq!(
            ["busybox", "file:/srv/images/a b.tar.xz", "file:/"].map(image),
            ["busybox", "a b.tar.xz", "file:/"]
        );
    }

    #[test]
    fn an_uptime_has_its_two_largest_units() {
        assert_eq!([5, 65, 3_700, 200_000].map(uptime), ["5s", "1m 5s", "1h 1m", "2d 7h"]);
    }
}
