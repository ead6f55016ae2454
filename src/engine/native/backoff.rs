//! How long a monitor waits before it starts a container again: as long as Docker does, so that a guest which ends at
//! once does not wear out the host. A reboot that the guest asks for is none such, until it does nothing else.

use std::time::Duration;

use crate::model::Ending;

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(100);

/// No pause is longer.
const LONGEST: Duration = Duration::from_mins(1);

/// After a run of this length the pauses begin anew.
const LONG_RUN: Duration = Duration::from_secs(10);

/// The pauses between the runs of one container.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    /// Whether it has just rebooted at once.
    has_rebooted: bool,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: SHORTEST, has_rebooted: false }
    }

    /// The pause after a run that took `ran` and ended like `ending`: twice the one before, and none after the first
    /// reboot.
    pub(super) fn pause_after(&mut self, ending: &Ending, ran: Duration) -> Duration {
        if ran >= LONG_RUN {
            *self = Backoff::new();
        }
        if *ending == Ending::Rebooted && !self.has_rebooted && self.next == SHORTEST {
            self.has_rebooted = true;
            return Duration::ZERO;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT_RUN: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew_after_a_long_run() {
        let mut backoff = Backoff::new();
        let crash = Ending::Exited { status: 1 };
        let pauses: Vec<_> = (0..12).map(|_| backoff.pause_after(&crash, SHORT_RUN).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
        assert_eq!(backoff.pause_after(&crash, LONG_RUN).as_millis(), 100);
        assert_eq!(backoff.pause_after(&crash, SHORT_RUN).as_millis(), 200);
    }

    #[test]
    fn a_reboot_is_at_once_and_a_loop_of_them_is_not() {
        let mut backoff = Backoff::new();
        let mut reboot_after = |ran| backoff.pause_after(&Ending::Rebooted, ran).as_millis();
        assert_eq!([SHORT_RUN; 4].map(&mut reboot_after), [0, 100, 200, 400]);
        assert_eq!([LONG_RUN, LONG_RUN, SHORT_RUN].map(&mut reboot_after), [0, 0, 100]);
        // One that crashes is not helped by a reboot.
        let mut backoff = Backoff::new();
        backoff.pause_after(&Ending::Killed { signal: 9 }, SHORT_RUN);
        assert_eq!(backoff.pause_after(&Ending::Rebooted, SHORT_RUN).as_millis(), 200);
    }
}
