//! What an init must be told to run well in a container without devices and without rights over the host.

use std::path::Path;

use super::edit::{Attributes, Editor};
use super::inittab::{self, Dialect};
use super::{GuestError, Occasion, runit};

const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
/// distrobuilder's generator, which does all that and more in images that have it.
const GENERATOR: &str = "/etc/systemd/system-generators/lxc";
/// Units that fail in an unprivileged container, so that the system would count as degraded.
const FAILING_UNITS: [&str; 2] = ["sys-kernel-debug.mount", "systemd-modules-load.service"];

const PLAIN: Attributes = Attributes::root(0o644);

/// Adapts the init's configuration before the first start. Later it is the guest's own.
pub(super) fn adapt_init(editor: &Editor<'_>, occasion: Occasion) -> Result<(), GuestError> {
    match occasion {
        Occasion::Change => return Ok(()),
        Occasion::FirstStart => {}
    }
    mask_failing_units(editor)?;
    tell_openrc(editor)?;
    adapt_inittab(editor)?;
    runit::adapt_services(editor)
}

fn mask_failing_units(editor: &Editor<'_>) -> Result<(), GuestError> {
    if !editor.has_file(&SYSTEMD)? || editor.metadata(GENERATOR)?.is_some() {
        return Ok(());
    }
    editor.ensure_directory("/etc/systemd/system", Attributes::root(0o755))?;
    for unit in FAILING_UNITS {
        // How systemctl(1) masks.
        editor.ensure_link("/dev/null", format!("/etc/systemd/system/{unit}"))?;
    }
    Ok(())
}

/// Makes `OpenRC` leave out the services that have no place in a container.
fn tell_openrc(editor: &Editor<'_>) -> Result<(), GuestError> {
    let path = "/etc/rc.conf";
    let Some(text) = editor.read(path)?.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(()) };
    editor.ensure_content(path, with_rc_sys(&text), PLAIN)
}

fn with_rc_sys(text: &str) -> String {
    const SETTING: &str = "rc_sys=\"lxc\"";
    let is_set = |line: &str| line.trim_start().starts_with("rc_sys=");
    let mut lines: Vec<&str> = text.lines().map(|line| if is_set(line) { SETTING } else { line }).collect();
    if !lines.contains(&SETTING) {
        lines.push(SETTING);
    }
    lines.join("\n") + "\n"
}

fn adapt_inittab(editor: &Editor<'_>) -> Result<(), GuestError> {
    let path = "/etc/inittab";
    let Some(dialect) = dialect(editor)? else { return Ok(()) };
    let Some(text) = editor.read(path)?.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(()) };
    editor.ensure_content(path, inittab::adapted(&text, dialect), PLAIN)
}

/// Whose language `/etc/inittab` is in, if the init reads it.
fn dialect(editor: &Editor<'_>) -> Result<Option<Dialect>, GuestError> {
    let init = Path::new("/sbin/init");
    let program = editor.root().canonical(init).map_err(editor.failed("look at", init))?;
    Ok(match program.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) {
        Some("busybox" | "busybox.static") => Some(Dialect::Busybox),
        // sysvinit installs itself as `init`; systemd, runit and openrc-init are links to names of their own.
        Some("init") => Some(Dialect::Sysvinit),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openrc_is_told_once() {
        assert_eq!(with_rc_sys("a=1\n#rc_sys=\"\"\n"), "a=1\n#rc_sys=\"\"\nrc_sys=\"lxc\"\n");
        assert_eq!(with_rc_sys("rc_sys=\"\"\na=1\n"), "rc_sys=\"lxc\"\na=1\n");
        assert_eq!(with_rc_sys("rc_sys=\"lxc\"\n"), "rc_sys=\"lxc\"\n");
    }
}
