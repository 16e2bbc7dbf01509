//! Ticks that may come late, under `--clock host`.
//!
//! A kernel without a tickless idle loop (Debian's for i386, for one) is woken hundreds of times a second only to find that
//! there is nothing to do. The wake alone, of a thread that has slept for 4 ms, is more than a percent of a core on many
//! hosts. If the guest does nothing else for a while, it is let sleep over some of its ticks, so long as it can't lose by that:
//!
//! - The timer is the local APIC's in one-shot or TSC-deadline mode: the guest sets it anew for each tick. Nothing that counts
//!   interrupts of a timer that runs by itself (PIT, RTC, HPET, a periodic local APIC) is touched.
//! - The guest keeps time by another clock: having been woken late, it sets the timer for where the tick would have been, not
//!   for a period later. Every late tick shows that, being a quarter of a period late beside whole ones; the first is late by
//!   no more than that.
//! - It is late in proportion: by at most a sixteenth of the time for which the guest has done nothing but tick, so that a
//!   sleep of the guest's that ends with a tick ends late by a sixteenth of its length, and by `most_ns` at most.
//! - Nobody sees it: in its wakes the guest runs no code of ring 3, stores to no chip but its local APIC and has done with the
//!   tick after a few thousand instructions.
//! - Any input, any other timer, any timer off the ticks' grid (a precise sleep) ends it.

/// Ticks this far apart are worth it, and no farther.
const PERIODS_NS: std::ops::RangeInclusive<u64> = 100_000..=20_000_000;
/// Instructions of a wake that is no more than a tick.
const TICK_COUNT: u64 = 50_000;
/// Ticks without anything else before the first is late.
const STILL_TICKS: u64 = 16;
/// Part of the time of stillness by which a tick may be late.
const PART: u64 = 16;
/// How far from the grid a tick may be: time passes between the guest's look at its clock and the store to its timer.
const NOISE: u64 = 8;
/// How long a guest is left alone that was found to keep time by its ticks: first, and at most.
const GRUDGE_NS: (u64, u64) = (1_000_000_000, 64_000_000_000);

/// What the guest's sleeps have looked like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lull {
    /// Most that a tick may be late; 0 for never.
    most_ns: u64,
    /// The guest has only ticked since then, in virtual time.
    since: u64,
    /// The tick that it slept for last, and how late that may come.
    tick: Option<(u64, u64)>,
    /// The first tick since then.
    first: u64,
    /// Periods from the first to the last.
    periods: u64,
    /// Instructions completed when it went to sleep.
    count: u64,
    /// A late tick was seen to be made up for.
    proved: bool,
    /// No tick is late before then, and how long that was.
    grudge: (u64, u64),
}

impl Lull {
    pub fn new(most_ns: u64) -> Lull {
        Lull { most_ns, ..Lull::default() }
    }

    /// Something other than a tick has woken the guest at `now`.
    pub fn end(&mut self, now: u64) {
        *self = Lull { most_ns: self.most_ns, since: now, grudge: self.grudge, ..Lull::default() };
    }

    /// The guest goes to sleep at `now`, having completed `count` instructions, until the tick at `tick`: by how many
    /// nanoseconds that may be late. `acted` if what it has done since it last went to sleep can be seen.
    pub fn slack_ns(&mut self, now: u64, count: u64, tick: u64, acted: bool) -> u64 {
        if self.most_ns == 0 {
            return 0;
        }
        let acted = acted || count.saturating_sub(self.count) > TICK_COUNT;
        match self.tick {
            // The host only had a look.
            Some((last, slack)) if tick == last && !acted => return slack,
            Some((last, slack)) if !acted && tick > last => {
                let step = tick - last;
                // Over all of them, lest an error of the first be multiplied where many are slept over.
                let period = (last - self.first).checked_div(self.periods).unwrap_or(step);
                let n = (step + period / 2) / period;
                if step.abs_diff(n * period) > period / NOISE || !PERIODS_NS.contains(&period) {
                    if slack != 0 {
                        let long = (self.grudge.1 * 2).clamp(GRUDGE_NS.0, GRUDGE_NS.1);
                        self.grudge = (now.saturating_add(long), long);
                    }
                    self.end(now);
                } else {
                    if slack != 0 {
                        (self.proved, self.grudge.1) = (true, 0);
                    }
                    self.periods += n;
                }
            }
            _ => self.end(now),
        }
        if self.periods == 0 {
            self.first = tick;
        }
        let slack = match (tick - self.first).checked_div(self.periods) {
            Some(period) if self.periods > STILL_TICKS && now >= self.grudge.0 && period <= self.most_ns => {
                let late = (now.saturating_sub(self.since) / PART).min(self.most_ns);
                let whole = late.saturating_sub(period / 4) / period * period;
                period / 4 + if self.proved { whole } else { 0 }
            }
            _ => 0,
        };
        (self.tick, self.count) = (Some((tick, slack)), count);
        slack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: u64 = 4_000_000;
    const MOST: u64 = 50_000_000;
    /// A quarter more than whole periods.
    const LONGEST: u64 = 49_000_000;

    /// A guest that ticks: what it sets its timer to, having been woken at a time for the tick that was due at another.
    fn ticks(lull: &mut Lull, from: u64, to: u64, rearm: impl Fn(u64, u64) -> u64) -> Vec<u64> {
        let (mut now, mut tick, mut count, mut slacks) = (from, from + P, 0, Vec::new());
        while now < to {
            let slack = lull.slack_ns(now, count, tick, false);
            slacks.push(slack);
            let woken = now.max(tick + slack) + 70_000;
            tick = rearm(woken, tick);
            now = woken + 30_000;
            count += 8_000;
        }
        slacks
    }

    /// On a grid, with an error of measurement.
    fn grid(woken: u64, _: u64) -> u64 {
        (woken / P + 1) * P + woken % 7_000
    }

    #[test]
    fn a_guest_that_makes_up_for_late_ticks_gets_them_late() {
        let mut lull = Lull::new(MOST);
        let slacks = ticks(&mut lull, 0, 4_000_000_000, grid);
        assert!(slacks[..17].iter().all(|s| *s == 0), "{slacks:?}");
        assert!(slacks[17].abs_diff(P / 4) < 10_000, "{slacks:?}");
        assert!(slacks.last().is_some_and(|s| s.abs_diff(LONGEST) < 10_000), "{slacks:?}");
        // A sixteenth of the time at most.
        let mut now = 0;
        for s in &slacks {
            assert!(s * 16 <= now + 16 * (P / 4), "{s} at {now}");
            now += P + s;
        }
        assert!(slacks.len() < 120, "{}", slacks.len());
    }

    #[test]
    fn a_guest_that_counts_its_ticks_is_late_seldom() {
        let mut lull = Lull::new(MOST);
        let slacks = ticks(&mut lull, 0, 100_000_000_000, |woken, _| woken + 1_000 + P);
        assert!(slacks.iter().all(|s| *s <= P / 3), "{slacks:?}");
        assert_eq!(slacks.iter().filter(|s| **s != 0).count(), 7);
    }

    #[test]
    fn a_guest_that_handles_each_tick_gets_all_at_once() {
        // The next by one period from the last, in the past where it was late: such a one does not sleep.
        let mut lull = Lull::new(MOST);
        let slacks = ticks(&mut lull, 0, 4_000_000_000, |woken, tick| {
            let mut next = tick + P;
            while next <= woken {
                next += P;
            }
            next
        });
        assert_eq!(slacks.last(), Some(&LONGEST));
    }

    #[test]
    fn anything_else_ends_it() {
        let still = |lull: &mut Lull| {
            ticks(lull, 0, 2_000_000_000, grid);
            let at = 2_000_000_000 / P * P + 100 * P;
            assert!(lull.slack_ns(at, 0, at + P, false) > 0);
            at + P
        };
        // A timer off the grid.
        let mut lull = Lull::new(MOST);
        let at = still(&mut lull);
        assert_eq!(lull.slack_ns(at + 10, 10, at + P / 3, false), 0);
        assert_eq!(lull.slack_ns(at + P / 2, 20, at + P, false), 0);
        // Much work.
        let mut lull = Lull::new(MOST);
        let at = still(&mut lull);
        assert_eq!(lull.slack_ns(at + 10, 60_000, at + P, false), 0);
        // A store to a chip, code of ring 3.
        let mut lull = Lull::new(MOST);
        let at = still(&mut lull);
        assert_eq!(lull.slack_ns(at + 10, 10, at + P, true), 0);
        // An input.
        let mut lull = Lull::new(MOST);
        let at = still(&mut lull);
        lull.end(at);
        assert_eq!(lull.slack_ns(at + 10, 10, at + P, false), 0);
        // And never where it isn't wanted.
        for most in [0, P - 10_000] {
            assert!(ticks(&mut Lull::new(most), 0, 2_000_000_000, grid).iter().all(|s| *s == 0), "{most}");
        }
    }

    #[test]
    fn long_and_short_periods_are_left_alone() {
        for p in [1, 50_000, 25_000_000, 1_000_000_000] {
            let mut lull = Lull::new(MOST);
            for i in 0..200 {
                assert_eq!(lull.slack_ns(i * p, i * 100, (i + 1) * p, false), 0, "period {p}");
            }
        }
    }
}
