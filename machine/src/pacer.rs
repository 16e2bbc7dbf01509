//! How virtual time follows the wall under `--clock host`: each slice gets a sample (n0, t0, rate) such that virtual time
//! meets the wall clock at the slice's expected end. Time never runs back, a gap of more than 100 ms (debugger, suspended
//! host) isn't caught up, and the guest is never held to a ratio. DESIGN §5.

use lucid86_cpu::Clock;
use std::time::{Duration, Instant};

/// Gap that is not caught up.
const GAP_NS: u64 = 100_000_000;
/// Longest and shortest slice, in wall time.
const LONGEST_NS: u64 = 2_000_000;
const SHORTEST_NS: u64 = 20_000;

/// The wall clock, and how fast the guest runs on this host.
pub struct Pacer {
    origin: Instant,
    /// Added to the time since `origin`: what was not caught up is missing here.
    base_ns: i128,
    /// Measured speed in instructions per nanosecond.
    speed: f64,
    current: Option<Current>,
}

/// The slice planned last. A slice that ends early (an access to a chip) goes on with the same sample: planning anew each
/// time would round virtual time down each time, and a guest that polls a chip would make it stand still.
#[derive(Clone, Copy, Debug)]
struct Current {
    plan: Plan,
    deadline_ns: Option<u64>,
    began: Instant,
    /// Count at its start.
    from: u64,
}

/// One planned slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The sample.
    pub clock: Clock,
    /// The slice's last count.
    pub limit: u64,
}

impl Pacer {
    /// Wall time is `now_ns` now.
    pub fn new(now_ns: u64) -> Pacer {
        Pacer { origin: Instant::now(), base_ns: now_ns.into(), speed: 0.1, current: None }
    }

    /// Wall time on the guest's scale.
    pub fn wall_ns(&self) -> u64 {
        let elapsed = self.origin.elapsed().as_nanos() as i128;
        u64::try_from(elapsed + self.base_ns).unwrap_or(0)
    }

    /// Makes it `now_ns` now.
    pub fn set(&mut self, now_ns: u64) {
        self.base_ns = i128::from(now_ns) - self.origin.elapsed().as_nanos() as i128;
    }

    /// Wall time, with a gap to virtual time `now_ns` cut off.
    pub fn wall_after_gap(&mut self, now_ns: u64) -> u64 {
        let wall = self.wall_ns();
        if wall > now_ns.saturating_add(GAP_NS) {
            self.base_ns -= i128::from(wall - now_ns);
            return now_ns;
        }
        wall
    }

    /// Plans a slice that starts at `count`, with the next deadline at `deadline_ns`; `clock` is the sample in force.
    pub fn plan(&mut self, count: u64, clock: Clock, deadline_ns: Option<u64>) -> Plan {
        if let Some(c) = self.current.filter(|c| c.plan.clock == clock && c.deadline_ns == deadline_ns)
            && count < c.plan.limit
            && c.began.elapsed().as_nanos() < u128::from(LONGEST_NS)
        {
            return c.plan;
        }
        self.learn(count);
        let now_ns = clock.time_ns(count);
        let wall = self.wall_after_gap(now_ns);
        let plan = plan(count, now_ns, wall, deadline_ns, self.speed);
        self.current = Some(Current { plan, deadline_ns, began: Instant::now(), from: count });
        plan
    }

    /// The guest waits from `count` on: what follows is not part of the slice.
    pub fn pause(&mut self, count: u64) {
        self.learn(count);
    }

    /// Learns from the slice that ends at `count`.
    fn learn(&mut self, count: u64) {
        let Some(c) = self.current.take() else { return };
        let elapsed = c.began.elapsed().as_nanos() as f64;
        let done = count.saturating_sub(c.from) as f64;
        if elapsed > 2_000.0 && done > 100.0 {
            self.speed = (0.9 * self.speed + 0.1 * (done / elapsed)).clamp(0.000_1, 100.0);
        }
    }

    /// How long to sleep until virtual `deadline_ns`.
    pub fn until(&self, deadline_ns: u64) -> Duration {
        Duration::from_nanos(deadline_ns.saturating_sub(self.wall_ns()))
    }
}

/// The arithmetic of [`Pacer::plan`].
fn plan(count: u64, now_ns: u64, wall: u64, deadline_ns: Option<u64>, speed: f64) -> Plan {
    let deadline = deadline_ns.unwrap_or(u64::MAX);
    // Wall time that the slice is expected to take.
    let slice = deadline.saturating_sub(wall).clamp(SHORTEST_NS, LONGEST_NS);
    // Virtual time to pass in it: up to the wall's at the end, at least a little, at most up to the deadline.
    let span =
        (wall + slice).saturating_sub(now_ns).max(slice / 16).min(deadline.saturating_sub(now_ns).max(1));
    let n = ((speed * slice as f64) as u64).max(1);
    // Rounded up, or the last nanosecond before a deadline would never pass.
    let rate = (u128::from(span) << 32).div_ceil(u128::from(n)).clamp(1, u64::MAX.into()) as u64;
    Plan { clock: Clock { n0: count, t0_ns: now_ns, rate }, limit: count + n }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_meets_the_wall_at_the_end() {
        let p = plan(1000, 5_000_000, 5_500_000, None, 1.0);
        let end = p.clock.time_ns(p.limit);
        assert!(end.abs_diff(7_500_000) < 1000, "{end}");
    }

    #[test]
    fn a_guest_that_polls_a_chip_does_not_stop_the_clock() {
        // A deadline so near that an instruction is less than a nanosecond, and slices of one instruction.
        let mut pacer = Pacer::new(0);
        pacer.speed = 10.0;
        let mut clock = Clock { n0: 0, t0_ns: 1_000_000, rate: Clock::ONE_NS };
        let mut count = 0;
        while clock.time_ns(count) < 1_000_300 {
            assert!(count < 10_000_000, "time stands at {}", clock.time_ns(count));
            clock = pacer.plan(count, clock, Some(1_000_300)).clock;
            count += 1;
        }
    }

    #[test]
    fn time_never_stands_and_never_runs_back() {
        let p = plan(0, 9_000_000, 1_000_000, None, 0.5);
        assert!(p.clock.rate > 0 && p.clock.time_ns(p.limit) > 9_000_000);
        let p = plan(0, 1_000_000, 1_000_000, Some(1_000_000), 0.5);
        assert!(p.limit > 0 && p.clock.rate > 0);
    }

    #[test]
    fn a_slice_ends_at_the_deadline() {
        let p = plan(0, 1_000_000, 1_000_000, Some(1_100_000), 1.0);
        assert!(p.clock.time_ns(p.limit) <= 1_100_000);
        assert!(p.clock.time_ns(p.limit) > 1_099_000);
    }
}
