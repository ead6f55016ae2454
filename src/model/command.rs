//! A command that is run inside a container: what, as whom, where, with which streams.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::ID_RANGE_LENGTH;

/// A command that is run inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCommand {
    /// What is executed.
    pub program: Program,
    /// Who it is run as; `None` is the guest's root, however broken its list of users may be.
    pub user: Option<UserChoice>,
    /// Where it begins, a path of the guest; `None` is the user's home, or `/` if that is missing.
    pub directory: Option<PathBuf>,
    /// Variables besides, or in place of, those that every command gets.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether it gets a terminal.
    pub terminal: TerminalUse,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program, found by the `PATH` that it gets, and its arguments; at least one word.
    Words(Vec<OsString>),
    /// The user's shell, as a login shell.
    LoginShell,
}

/// Whether a command gets a terminal of the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminalUse {
    /// When the caller sits at one.
    Auto,
    /// Always.
    Always,
    /// Never: it gets pipes.
    Never,
}

/// A user of the guest, and maybe a group, as `NAME|UID[:GROUP|GID]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserChoice {
    /// The user.
    pub user: IdOrName,
    /// The one group that it has in place of its own.
    pub group: Option<IdOrName>,
}

/// A user or a group, told by either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdOrName {
    /// By number, below [`ID_RANGE_LENGTH`].
    Id(u32),
    /// By name.
    Name(String),
}

/// Why a text is no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserChoiceError {
    /// A part is empty, or holds what no name holds.
    #[error("write NAME or UID, and maybe `:` with GROUP or GID")]
    Form,
    /// A number that no container has.
    #[error("id {0} is outside a container's 0 to 65535")]
    OutOfRange(String),
}

impl FromStr for UserChoice {
    type Err = UserChoiceError;

    fn from_str(text: &str) -> Result<UserChoice, UserChoiceError> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        Ok(UserChoice { user: user.parse()?, group: group.map(str::parse).transpose()? })
    }
}

impl fmt::Display for UserChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.user)?;
        self.group.iter().try_for_each(|group| write!(f, ":{group}"))
    }
}

impl fmt::Display for IdOrName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdOrName::Id(id) => write!(f, "{id}"),
            IdOrName::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for IdOrName {
    type Err = UserChoiceError;

    fn from_str(text: &str) -> Result<IdOrName, UserChoiceError> {
        if text.is_empty() || text.contains([':', ',', '/', '\n']) {
            return Err(UserChoiceError::Form);
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(IdOrName::Name(text.to_owned()));
        }
        let id = text.parse().ok().filter(|id| *id < ID_RANGE_LENGTH);
        id.map(IdOrName::Id).ok_or_else(|| UserChoiceError::OutOfRange(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_by_name_or_number_with_or_without_a_group() {
        let name = |text: &str| IdOrName::Name(text.to_owned());
        assert_eq!("dev".parse(), Ok(UserChoice { user: name("dev"), group: None }));
        assert_eq!("1000:100".parse(), Ok(UserChoice { user: IdOrName::Id(1000), group: Some(IdOrName::Id(100)) }));
        assert_eq!("dev:wheel".parse(), Ok(UserChoice { user: name("dev"), group: Some(name("wheel")) }));
    }

    #[test]
    fn it_is_written_as_it_was_read() {
        for text in ["dev", "1000:100", "dev:wheel"] {
            assert_eq!(text.parse::<UserChoice>().expect("a user").to_string(), text);
        }
    }

    #[test]
    fn what_no_container_can_have_is_refused() {
        let refused = |text: &str| text.parse::<UserChoice>().expect_err("refused");
        assert_eq!(refused("65536"), UserChoiceError::OutOfRange("65536".to_owned()));
        assert_eq!(refused("dev:99999999999"), UserChoiceError::OutOfRange("99999999999".to_owned()));
        for text in ["", ":0", "dev:", "a:b:c", "a/b"] {
            assert_eq!(refused(text), UserChoiceError::Form, "{text}");
        }
    }
}
