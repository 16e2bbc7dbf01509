//! Crystals: how virtual nanoseconds become ticks of a chip's own clock. Every crystal started at [`Time`] zero, so a
//! tick number is a pure function of time and no chip keeps a counter that has to be stepped.

use crate::Time;

/// A clock of `ticks` in every `ns` nanoseconds, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crystal {
    ticks: u64,
    ns: u64,
}

/// The counters' input: a twelfth of the colour burst crystal's 14.31818 MHz, that is 105/88 MHz.
pub const PIT: Crystal = Crystal { ticks: 105, ns: 88_000 };

/// The ACPI power management timer: a quarter of 14.31818 MHz, exactly three times [`PIT`].
pub const PM_TIMER: Crystal = Crystal { ticks: 315, ns: 88_000 };

/// The watch crystal of the real-time clock, 32,768 Hz.
pub const WATCH: Crystal = Crystal { ticks: 32_768, ns: 1_000_000_000 };

impl Crystal {
    /// Number of the latest tick at or before `at`.
    pub fn tick(self, at: Time) -> u64 {
        let n = u128::from(at.0) * u128::from(self.ticks) / u128::from(self.ns);
        u64::try_from(n).unwrap_or(u64::MAX)
    }

    /// The earliest time at which [`Crystal::tick`] is at least `tick`.
    pub fn time(self, tick: u64) -> Time {
        let ns = (u128::from(tick) * u128::from(self.ns)).div_ceil(u128::from(self.ticks));
        Time(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_the_advertised_ticks() {
        assert_eq!(PIT.tick(Time(1_000_000_000)), 1_193_181);
        assert_eq!(PM_TIMER.tick(Time(1_000_000_000)), 3_579_545);
        assert_eq!(WATCH.tick(Time(1_000_000_000)), 32_768);
    }

    #[test]
    fn a_tick_begins_at_its_time_and_not_before() {
        for crystal in [PIT, PM_TIMER, WATCH] {
            for tick in [1, 2, 3, 1000, 1_193_182, u64::from(u32::MAX)] {
                let Time(ns) = crystal.time(tick);
                assert_eq!(crystal.tick(Time(ns)), tick);
                assert_eq!(crystal.tick(Time(ns - 1)), tick - 1);
            }
        }
    }
}
