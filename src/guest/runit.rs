//! The services of runit(8) in a container: it has a console, and no virtual terminals and serial lines.

use super::GuestError;
use super::edit::{Attributes, Editor};

/// The services that are run, as links.
const ENABLED: &str = "/etc/runit/runsvdir/default";

/// The service that fleet adds.
const CONSOLE: &str = "/etc/sv/getty-console";

/// `chpst -P` makes the session that a terminal needs (chpst(8)).
const RUN: &str = "#!/bin/sh\n# Written by fleet: a login on the container's console.\nexec chpst -P getty --noclear 38400 console linux\n";

/// Turns off the logins on terminals that a container lacks, which would end at once and be started again for ever, and
/// makes sure that there is one on the console.
pub(super) fn adapt_services(editor: &Editor<'_>) -> Result<(), GuestError> {
    let names = editor.list(ENABLED)?;
    let names: Vec<&str> = names.iter().filter_map(|name| name.to_str()).collect();
    let (absent, kept): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| is_on_absent_terminal(name));
    for name in &absent {
        editor.ensure_absent(format!("{ENABLED}/{name}"))?;
    }
    if absent.is_empty() || kept.iter().any(|name| name.ends_with("getty-console")) {
        return Ok(());
    }
    editor.ensure_directory(CONSOLE, Attributes::root(0o755))?;
    editor.ensure_file(format!("{CONSOLE}/run"), RUN, Attributes::root(0o755))?;
    editor.ensure_link(CONSOLE, format!("{ENABLED}/getty-console"))
}

/// Debian's `getty-tty1` and `getty-ttyS0`, Void's `agetty-tty1`.
fn is_on_absent_terminal(service: &str) -> bool {
    let terminal = service.strip_prefix("agetty-").or_else(|| service.strip_prefix("getty-"));
    terminal.is_some_and(|terminal| terminal.starts_with("tty") || terminal.starts_with("hvc"))
}
