//! Names of fleets, containers and networks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was written.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than the limit, which is the payload.
    #[error("a name has at most {0} characters")]
    TooLong(usize),
    /// A character that RFC 1123 does not allow in a label.
    #[error("`{0}` cannot stand in a name: a name is made of `a-z`, `0-9` and `-`")]
    BadCharacter(char),
    /// A hyphen at either end.
    #[error("a name begins and ends with a letter or a digit")]
    BadEnd,
}

/// Checks `text` against RFC 1123's rule for one label of a host name, in lower case.
fn check_label(text: &str, longest: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > longest {
        return Err(NameError::TooLong(longest));
    }
    if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(NameError::BadCharacter(bad));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::BadEnd);
    }
    Ok(())
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $longest:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_label(text, $longest)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

label!(
    /// The name of a fleet: one label of RFC 1123, at most 40 characters.
    FleetName,
    40
);
label!(
    /// The name of a container, unique on its host and its host name by default: one label of RFC 1123, at most 63
    /// characters.
    ContainerName,
    63
);
label!(
    /// The name of a network, unique in its fleet: one label of RFC 1123, at most 32 characters.
    NetworkName,
    32
);

/// The name of the network that a fleet has without naming it.
const DEFAULT_NETWORK: &str = "default";

impl NetworkName {
    /// Whether it is that of the network that a fleet has without naming it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT_NETWORK
    }
}

impl Default for NetworkName {
    fn default() -> NetworkName {
        NetworkName(DEFAULT_NETWORK.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_label_of_a_host_name() {
        assert!("agent-1".parse::<ContainerName>().is_ok());
        assert_eq!("".parse::<ContainerName>(), Err(NameError::Empty));
        assert_eq!("Agent".parse::<ContainerName>(), Err(NameError::BadCharacter('A')));
        assert_eq!("../x".parse::<ContainerName>(), Err(NameError::BadCharacter('.')));
        assert_eq!("-a".parse::<ContainerName>(), Err(NameError::BadEnd));
        assert_eq!("a".repeat(41).parse::<FleetName>(), Err(NameError::TooLong(40)));
    }
}
