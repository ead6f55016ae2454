//! `/etc/inittab` of a container: it has a console, and no virtual terminals.

/// Whose inittab it is. Both have lines `id:runlevels:action:process`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Busybox's: the id is a terminal, runlevels mean nothing.
    Busybox,
    /// sysvinit's, inittab(5).
    Sysvinit,
}

struct Line<'a> {
    id: &'a str,
    action: &'a str,
    process: &'a str,
}

impl<'a> Line<'a> {
    /// `None` for comments and for what is no line of the table.
    fn parse(text: &'a str) -> Option<Line<'a>> {
        if text.trim_start().starts_with('#') {
            return None;
        }
        let mut fields = text.splitn(4, ':');
        let (id, _runlevels) = (fields.next()?, fields.next()?);
        Some(Line { id, action: fields.next()?, process: fields.next()? })
    }

    /// Whether it keeps something running on `tty1` to `tty6`, which a container lacks: it would end at once, and be
    /// started again for ever.
    fn loops(&self) -> bool {
        let is_kept = matches!(self.action, "respawn" | "askfirst");
        is_kept && self.terminals().any(|word| matches!(word.as_bytes(), [b't', b't', b'y', b'1'..=b'6']))
    }

    fn is_on_console(&self, dialect: Dialect) -> bool {
        // For busybox no terminal means the console.
        let is_default = dialect == Dialect::Busybox && self.id.is_empty() && self.action == "askfirst";
        is_default || self.terminals().any(|word| word == "console")
    }

    fn terminals(&self) -> impl Iterator<Item = &'a str> {
        std::iter::once(self.id).chain(self.process.split_ascii_whitespace())
    }
}

/// The table `text` with its virtual terminals off, a login on the console, and for sysvinit a shutdown on `SIGPWR`,
/// the signal that containers are stopped by: Debian's own line for it runs a script that it does not have.
pub(super) fn adapted(text: &str, dialect: Dialect) -> String {
    let parsed = || text.lines().filter_map(Line::parse);
    let mut lines: Vec<String> = text.lines().map(|line| adapted_line(line, dialect)).collect();
    if parsed().any(|line| line.loops()) && !parsed().any(|line| line.is_on_console(dialect)) {
        lines.push(match dialect {
            Dialect::Busybox => "console::respawn:/sbin/getty -L 0 console".to_owned(),
            Dialect::Sysvinit => "co:2345:respawn:/sbin/getty --noclear 38400 console".to_owned(),
        });
    }
    if dialect == Dialect::Sysvinit && !parsed().any(|line| line.action == "powerwait") {
        lines.push(SHUTDOWN.to_owned());
    }
    lines.join("\n") + "\n"
}

const SHUTDOWN: &str = "pf::powerwait:/sbin/shutdown -h now";

fn adapted_line(text: &str, dialect: Dialect) -> String {
    match Line::parse(text) {
        Some(line) if line.loops() => format!("#{text}"),
        Some(line) if dialect == Dialect::Sysvinit && line.action == "powerwait" => SHUTDOWN.to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpine_gets_a_console_instead_of_terminals() {
        let text = "::sysinit:/sbin/openrc sysinit\n\n# getty's\ntty1::respawn:/sbin/getty 38400 tty1\n\
                    tty6::respawn:/sbin/getty 38400 tty6\n#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n\
                    ::shutdown:/sbin/openrc shutdown\n";
        let once = adapted(text, Dialect::Busybox);
        insta::assert_snapshot!(once, @r"
        ::sysinit:/sbin/openrc sysinit

        # getty's
        #tty1::respawn:/sbin/getty 38400 tty1
        #tty6::respawn:/sbin/getty 38400 tty6
        #ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
        ::shutdown:/sbin/openrc shutdown
        console::respawn:/sbin/getty -L 0 console
        ");
        assert_eq!(adapted(&once, Dialect::Busybox), once);
    }

    #[test]
    fn a_shell_on_busyboxs_default_terminal_is_a_console() {
        let text = "::askfirst:-/bin/sh\ntty2::askfirst:-/bin/sh\n";
        assert_eq!(adapted(text, Dialect::Busybox), "::askfirst:-/bin/sh\n#tty2::askfirst:-/bin/sh\n");
    }

    #[test]
    fn sysvinit_also_learns_to_shut_down() {
        let text = "id:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\npf::powerwait:/etc/init.d/powerfail start\n\
                    pn::powerfailnow:/etc/init.d/powerfail now\n1:2345:respawn:/sbin/getty --noclear 38400 tty1\n\
                    2:23:respawn:/sbin/getty 38400 tty2\n#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n";
        let once = adapted(text, Dialect::Sysvinit);
        insta::assert_snapshot!(once, @r"
        id:2:initdefault:
        si::sysinit:/etc/init.d/rcS
        pf::powerwait:/sbin/shutdown -h now
        pn::powerfailnow:/etc/init.d/powerfail now
        #1:2345:respawn:/sbin/getty --noclear 38400 tty1
        #2:23:respawn:/sbin/getty 38400 tty2
        #T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100
        co:2345:respawn:/sbin/getty --noclear 38400 console
        ");
        assert_eq!(adapted(&once, Dialect::Sysvinit), once);
        let bare = "c1:12345:respawn:/sbin/agetty 38400 console linux\n";
        assert_eq!(adapted(bare, Dialect::Sysvinit), format!("{bare}{SHUTDOWN}\n"));
    }
}
