//! The templates there are.

use std::str::FromStr;

use super::TemplateError;

/// A template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TemplateName {
    /// `/etc/hosts`.
    Hosts,
    /// `/etc/hostname`.
    Hostname,
    /// `/etc/resolv.conf`.
    ResolvConf,
    /// systemd.network(5) of the guest's link.
    Networkd,
    /// `/etc/network/interfaces`, interfaces(5).
    Interfaces,
    /// sudoers(5) of one user.
    Sudoers,
    /// doas.conf(5) of all users.
    Doas,
}

impl TemplateName {
    /// All of them.
    pub const ALL: [TemplateName; 7] = [
        TemplateName::Hosts,
        TemplateName::Hostname,
        TemplateName::ResolvConf,
        TemplateName::Networkd,
        TemplateName::Interfaces,
        TemplateName::Sudoers,
        TemplateName::Doas,
    ];

    /// The name in a fleet file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TemplateName::Hosts => "hosts",
            TemplateName::Hostname => "hostname",
            TemplateName::ResolvConf => "resolv.conf",
            TemplateName::Networkd => "networkd.network",
            TemplateName::Interfaces => "interfaces",
            TemplateName::Sudoers => "sudoers",
            TemplateName::Doas => "doas.conf",
        }
    }

    /// The built-in text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            TemplateName::Hosts => include_str!("../../templates/hosts.hbs"),
            TemplateName::Hostname => include_str!("../../templates/hostname.hbs"),
            TemplateName::ResolvConf => include_str!("../../templates/resolv.conf.hbs"),
            TemplateName::Networkd => include_str!("../../templates/networkd.network.hbs"),
            TemplateName::Interfaces => include_str!("../../templates/interfaces.hbs"),
            TemplateName::Sudoers => include_str!("../../templates/sudoers.hbs"),
            TemplateName::Doas => include_str!("../../templates/doas.conf.hbs"),
        }
    }
}

impl FromStr for TemplateName {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let found = TemplateName::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| TemplateError::Unknown { name: text.to_owned() })
    }
}
