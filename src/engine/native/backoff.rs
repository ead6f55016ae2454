//! How long a monitor waits before it starts a container again: as long as Docker does, so that a guest which ends at
//! once does not wear out the host.

use std::time::Duration;

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
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: SHORTEST }
    }

    /// The pause after a run that took `ran`: twice the one before.
    pub(super) fn pause_after(&mut self, ran: Duration) -> Duration {
        if ran >= LONG_RUN {
            self.next = SHORTEST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew_after_a_long_run() {
        let mut backoff = Backoff::new();
        let short_run = Duration::from_secs(1);
        let pauses: Vec<_> = (0..12).map(|_| backoff.pause_after(short_run).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
        assert_eq!(backoff.pause_after(LONG_RUN).as_millis(), 100);
        assert_eq!(backoff.pause_after(short_run).as_millis(), 200);
    }
}
