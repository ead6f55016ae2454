//! How a run of a container ended, and whether another follows.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Restart;

/// How a container's init ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Ending {
    /// The guest asked for a reboot.
    Rebooted,
    /// The guest asked for a halt or a power-off.
    PoweredOff,
    /// It exited by itself.
    Exited {
        /// Its exit status.
        status: u8,
    },
    /// A signal ended it.
    Killed {
        /// The signal's number.
        signal: u8,
    },
    /// It was to be started again and could not be.
    NotStarted {
        /// Why.
        why: String,
    },
    /// Nobody saw how.
    Unknown,
}

impl Ending {
    /// What a status as of wait(2) says. In a pid namespace, `reboot(2)` ends the init as if by `SIGHUP` for a reboot
    /// and `SIGINT` for a halt or power-off (`pid_namespaces(7)`); no signal from inside can look like that.
    #[must_use]
    pub fn of_wait_status(status: i32) -> Ending {
        let [low, high, ..] = status.to_le_bytes();
        match low & 0x7f {
            0 => Ending::Exited { status: high },
            1 => Ending::Rebooted,
            2 => Ending::PoweredOff,
            signal => Ending::Killed { signal },
        }
    }

    /// Whether something went wrong, as far as is known.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Ending::Exited { status } => *status != 0,
            Ending::Killed { .. } | Ending::NotStarted { .. } => true,
            Ending::Rebooted | Ending::PoweredOff | Ending::Unknown => false,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Rebooted => f.write_str("the guest rebooted"),
            Ending::PoweredOff => f.write_str("the guest powered off"),
            Ending::Exited { status } => write!(f, "its init exited with status {status}"),
            Ending::Killed { signal } => write!(f, "its init was killed by signal {signal}"),
            Ending::NotStarted { why } => write!(f, "it could not be started again: {why}"),
            Ending::Unknown => f.write_str("its init ended unseen"),
        }
    }
}

/// The end of a container's last run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// How it ended.
    #[serde(flatten)]
    pub ending: Ending,
    /// When, in seconds since 1970.
    pub at_s: u64,
}

impl Restart {
    /// Whether a container that ended like that, without anybody having stopped it, is started again. An end that is
    /// not known counts as a reboot: better a guest that comes back once more than one that is missed.
    #[must_use]
    pub fn follows(self, ending: &Ending) -> bool {
        match self {
            // A reboot is what the guest asked for, not a restart.
            Restart::No => matches!(ending, Ending::Rebooted | Ending::Unknown),
            Restart::OnFailure => Restart::No.follows(ending) || ending.is_failure(),
            Restart::Always => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_tells_reboot_power_off_exit_and_kill() {
        let endings = [0, 7 << 8, 1, 2, 9, 0x8b].map(Ending::of_wait_status);
        let exited = |status| Ending::Exited { status };
        let killed = |signal| Ending::Killed { signal };
        assert_eq!(endings, [exited(0), exited(7), Ending::Rebooted, Ending::PoweredOff, killed(9), killed(11)]);
    }

    #[test]
    fn each_policy_restarts_what_it_says() {
        let (fine, bad, killed) =
            (Ending::Exited { status: 0 }, Ending::Exited { status: 1 }, Ending::Killed { signal: 9 });
        let not_started = Ending::NotStarted { why: "no bridge".to_owned() };
        let all = [Ending::Rebooted, Ending::PoweredOff, fine, bad, killed, not_started, Ending::Unknown];
        let followed = |policy: Restart| all.each_ref().map(|ending| policy.follows(ending));
        assert_eq!(followed(Restart::No), [true, false, false, false, false, false, true]);
        assert_eq!(followed(Restart::OnFailure), [true, false, false, true, true, true, true]);
        assert_eq!(followed(Restart::Always), [true; 7]);
    }

    #[test]
    fn a_last_exit_is_one_flat_object() {
        let last = LastExit { ending: Ending::Exited { status: 3 }, at_s: 1000 };
        assert_eq!(serde_json::to_string(&last).expect("it serialises"), r#"{"how":"exited","status":3,"at_s":1000}"#);
    }
}
