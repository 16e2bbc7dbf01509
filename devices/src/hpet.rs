//! High precision event timers: a 64-bit counter of 10 ns and three comparators.
//!
//! Follows: IA-PC HPET specification 1.0a (October 2004), sections 2.3 and 2.4. A comparator fires once for however
//! many periods went by. Not offered: delivery by message (FSB). Tests at the foot.

use crate::{Ctx, Registers, Time, Timed, Width};
use serde::{Deserialize, Serialize};

/// Comparators.
pub const TIMERS: usize = 3;

const TICK_NS: u64 = 10;
/// Period of 10,000,000 fs; Intel's ID; legacy replacement, 64 bits, the last timer's number, revision 1.
const CAPABILITIES: u64 = 10_000_000 << 32 | 0x8086 << 16 | 1 << 15 | 1 << 13 | (TIMERS as u64 - 1) << 8 | 1;

const ENABLE: u64 = 1 << 0; // the counter runs and interrupts come
const LEGACY: u64 = 1 << 1; // timers 0 and 1 replace those of IRQ 0 and IRQ 8

/// Bits of a timer's configuration.
mod config {
    pub const LEVEL: u64 = 1 << 1;
    pub const INTERRUPT: u64 = 1 << 2;
    pub const PERIODIC: u64 = 1 << 3;
    pub const PERIODIC_ABLE: u64 = 1 << 4;
    pub const WIDE: u64 = 1 << 5; // 64 bits
    pub const SET_VALUE: u64 = 1 << 6; // the next write to the comparator sets it even in periodic mode
    pub const NARROW: u64 = 1 << 8; // run as 32 bits
    pub const ROUTE: u64 = 31 << 9;
    pub const WRITABLE: u64 = LEVEL | INTERRUPT | PERIODIC | SET_VALUE | NARROW | ROUTE;
}

/// I/O APIC pins that a timer may be routed to: 16 to 23, and 2 for what was IRQ 0.
const ROUTES: u64 = 0x00FF_0004;

/// One comparator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Timer {
    config: u64,
    comparator: u64,
    period: u64,
}

impl Timer {
    fn new() -> Self {
        Timer { config: config::PERIODIC_ABLE | config::WIDE, comparator: u64::MAX, period: 0 }
    }

    fn has(&self, bit: u64) -> bool {
        self.config & bit != 0
    }

    fn mask(&self) -> u64 {
        if self.has(config::NARROW) { u32::MAX.into() } else { u64::MAX }
    }

    /// Ticks from counter value `counter` to the next match, at least one.
    fn distance(&self, counter: u64) -> u128 {
        match self.comparator.wrapping_sub(counter) & self.mask() {
            0 => u128::from(self.mask()) + 1,
            n => n.into(),
        }
    }

    /// The counter goes from `counter` on by `ticks`; true if it met the comparator.
    fn pass(&mut self, counter: u64, ticks: u64) -> bool {
        let distance = self.distance(counter);
        if distance > u128::from(ticks) {
            return false;
        }
        if self.has(config::PERIODIC) && self.period != 0 {
            let periods = (u128::from(ticks) - distance) / u128::from(self.period) + 1;
            let ahead = (periods * u128::from(self.period)) as u64;
            self.comparator = self.comparator.wrapping_add(ahead) & self.mask();
        }
        true
    }

    fn write_config(&mut self, value: u64) {
        self.config = self.config & !config::WRITABLE | value & config::WRITABLE;
        self.comparator &= self.mask();
        self.period &= self.mask();
    }

    fn write_comparator(&mut self, value: u64) {
        let value = value & self.mask();
        if !self.has(config::PERIODIC) || self.has(config::SET_VALUE) {
            self.comparator = value;
        }
        if self.has(config::PERIODIC) {
            self.period = value;
        }
        self.config &= !config::SET_VALUE;
    }
}

/// The interrupt pin of a comparator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Takes the place of the timer on IRQ 0 (I/O APIC pin 2).
    LegacyTimer,
    /// Takes the place of the real-time clock on IRQ 8.
    LegacyClock,
    /// A pin of the I/O APIC.
    Pin(u8),
}

/// The timer block: 1 KiB of registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hpet {
    config: u64,
    status: u8,   // level interrupts that wait, by timer
    edges: u8,    // edge interrupts since last asked, by timer
    counter: u64, // main counter at `seen`
    seen: u64,    // tick up to which everything is taken into account
    timers: [Timer; TIMERS],
}

impl Default for Hpet {
    fn default() -> Self {
        Self::new()
    }
}

impl Hpet {
    /// Stopped, at zero.
    pub fn new() -> Self {
        let timers = [Timer::new(), Timer::new(), Timer::new()];
        Hpet { config: 0, status: 0, edges: 0, counter: 0, seen: 0, timers }
    }

    /// Hard reset.
    pub fn reset(&mut self) {
        *self = Hpet { seen: self.seen, ..Self::new() };
    }

    /// Whether timers 0 and 1 have taken over IRQ 0 and IRQ 8 from PIT and RTC.
    pub fn legacy(&self) -> bool {
        self.config & (ENABLE | LEGACY) == ENABLE | LEGACY
    }

    /// Where timer `n`'s interrupt goes.
    pub fn route(&self, n: usize) -> Route {
        match n {
            0 if self.config & LEGACY != 0 => Route::LegacyTimer,
            1 if self.config & LEGACY != 0 => Route::LegacyClock,
            _ => Route::Pin(((self.timers[n % TIMERS].config & config::ROUTE) >> 9) as u8),
        }
    }

    /// Level of timer `n`'s interrupt, if it is level-triggered.
    pub fn level(&self, n: usize) -> bool {
        let timer = &self.timers[n % TIMERS];
        timer.has(config::LEVEL) && timer.has(config::INTERRUPT) && self.status >> (n % TIMERS) & 1 != 0
    }

    /// Whether edge-triggered timer `n` has fired since this was last asked.
    pub fn take_edge(&mut self, n: usize) -> bool {
        let bit = 1 << (n % TIMERS);
        let fired = self.edges & bit != 0;
        self.edges &= !bit;
        fired
    }

    fn running(&self) -> bool {
        self.config & ENABLE != 0
    }

    fn settle(&mut self, now: Time) {
        let tick = now.0 / TICK_NS;
        let ticks = tick.saturating_sub(self.seen);
        self.seen = self.seen.max(tick);
        if !self.running() || ticks == 0 {
            return;
        }
        for (n, timer) in self.timers.iter_mut().enumerate() {
            if !timer.pass(self.counter, ticks) {
                continue;
            }
            if timer.has(config::LEVEL) {
                self.status |= 1 << n;
            } else if timer.has(config::INTERRUPT) {
                self.edges |= 1 << n;
            }
        }
        self.counter = self.counter.wrapping_add(ticks);
    }

    fn read_register(&self, register: u64) -> u64 {
        match register {
            0x000 => CAPABILITIES,
            0x010 => self.config,
            0x020 => self.status.into(),
            0x0F0 => self.counter,
            0x100..0x160 => {
                let timer = &self.timers[(register as usize - 0x100) / 0x20];
                match register & 0x18 {
                    0x00 => ROUTES << 32 | timer.config,
                    0x08 => timer.comparator,
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    /// Writes the bits of `mask` in a 64-bit register.
    fn write_register(&mut self, register: u64, mask: u64, value: u64) {
        let merged = self.read_register(register) & !mask | value & mask;
        match register {
            0x010 => self.config = merged & (ENABLE | LEGACY),
            0x020 => self.status &= !((value & mask) as u8),
            0x0F0 if !self.running() => self.counter = merged,
            0x100..0x160 => {
                let n = (register as usize - 0x100) / 0x20;
                let timer = &mut self.timers[n];
                match register & 0x18 {
                    0x00 => {
                        timer.write_config(merged);
                        if !timer.has(config::LEVEL) {
                            self.status &= !(1 << n);
                        }
                    }
                    0x08 => {
                        // In periodic mode a write of half the register gives that half of the period.
                        let base = if timer.has(config::PERIODIC) { timer.period } else { timer.comparator };
                        timer.write_comparator(base & !mask | value & mask);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

impl Registers for Hpet {
    fn load(&mut self, ctx: &mut Ctx, offset: u64, width: Width) -> u64 {
        self.settle(ctx.now);
        let value = self.read_register(offset & 0x3F8) >> (8 * (offset & 7));
        value & (u64::MAX >> (64 - 8 * width as u32))
    }

    fn store(&mut self, ctx: &mut Ctx, offset: u64, width: Width, value: u64) {
        self.settle(ctx.now);
        let shift = 8 * (offset & 7);
        let mask = (u64::MAX >> (64 - 8 * width as u32)) << shift;
        self.write_register(offset & 0x3F8, mask, value << shift);
    }
}

impl Timed for Hpet {
    fn deadline(&self) -> Option<Time> {
        if !self.running() {
            return None;
        }
        // A timer whose interrupt waits already changes nothing by firing again.
        let waiting = self.status | self.edges;
        let next = self
            .timers
            .iter()
            .enumerate()
            .filter(|(n, timer)| timer.has(config::INTERRUPT) && waiting >> n & 1 == 0);
        let ticks = next.map(|(_, timer)| timer.distance(self.counter)).min()?;
        let ns = (u128::from(self.seen) + ticks) * u128::from(TICK_NS);
        u64::try_from(ns).ok().map(Time)
    }

    fn advance(&mut self, ctx: &mut Ctx) {
        self.settle(ctx.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    struct Chip {
        bench: Bench,
        hpet: Hpet,
    }

    impl Chip {
        fn running() -> Self {
            let mut chip = Chip { bench: Bench::new(), hpet: Hpet::new() };
            chip.write(0x10, 1);
            chip
        }

        fn read(&mut self, offset: u64) -> u64 {
            self.hpet.load(&mut self.bench.ctx(), offset, Width::Qword)
        }

        fn write(&mut self, offset: u64, value: u64) {
            self.hpet.store(&mut self.bench.ctx(), offset, Width::Qword, value);
        }

        fn to(&mut self, ns: u64) {
            self.bench.now = Time(ns);
            self.hpet.advance(&mut self.bench.ctx());
        }
    }

    #[test]
    fn capabilities() {
        let mut chip = Chip::running();
        let capabilities = chip.read(0);
        assert_eq!(capabilities >> 32, 10_000_000);
        assert_eq!(capabilities >> 8 & 0x1F, 2, "three timers");
        assert_eq!(chip.hpet.load(&mut chip.bench.ctx(), 4, Width::Dword), 10_000_000);
    }

    #[test]
    fn counter_runs_only_when_enabled() {
        let mut chip = Chip::running();
        chip.to(1_000_000);
        assert_eq!(chip.read(0xF0), 100_000);
        chip.write(0x10, 0);
        chip.to(2_000_000);
        assert_eq!(chip.read(0xF0), 100_000);
        chip.write(0xF0, 5);
        chip.write(0x10, 1);
        chip.to(2_000_100);
        assert_eq!(chip.read(0xF0), 15);
    }

    #[test]
    fn one_shot_edge() {
        let mut chip = Chip::running();
        chip.write(0x100, config::INTERRUPT | 20 << 9);
        chip.write(0x108, 100);
        assert_eq!(chip.hpet.route(0), Route::Pin(20));
        assert_eq!(chip.hpet.deadline(), Some(Time(1_000)));
        chip.to(999);
        assert!(!chip.hpet.take_edge(0));
        chip.to(1_000);
        assert!(chip.hpet.take_edge(0));
        assert!(!chip.hpet.take_edge(0));
    }

    #[test]
    fn periodic_as_linux_sets_it_up() {
        let mut chip = Chip::running();
        chip.write(0x10, 3);
        let mode = config::INTERRUPT | config::PERIODIC | config::SET_VALUE | config::NARROW;
        chip.write(0x100, mode);
        chip.write(0x108, 500);
        chip.write(0x108, 1000);
        assert!(chip.hpet.legacy());
        assert_eq!(chip.hpet.route(0), Route::LegacyTimer);
        assert_eq!(chip.hpet.deadline(), Some(Time(5_000)));
        chip.to(5_000);
        assert!(chip.hpet.take_edge(0));
        assert_eq!(chip.hpet.deadline(), Some(Time(15_000)));
        chip.to(3_600_000_000_000);
        assert!(chip.hpet.take_edge(0));
        assert_eq!(chip.hpet.deadline(), Some(Time(3_600_000_005_000)));
    }

    #[test]
    fn level_interrupt_until_its_status_is_cleared() {
        let mut chip = Chip::running();
        chip.write(0x120, config::INTERRUPT | config::LEVEL);
        chip.write(0x128, 10);
        chip.to(100);
        assert!(chip.hpet.level(1));
        assert_eq!(chip.read(0x20), 2);
        chip.write(0x20, 2);
        assert!(!chip.hpet.level(1));
    }

    #[test]
    fn a_32_bit_timer_wraps() {
        let mut chip = Chip::running();
        chip.write(0x140, config::INTERRUPT | config::NARROW);
        chip.write(0x148, 0);
        assert_eq!(chip.hpet.deadline(), Some(Time((1 << 32) * 10)));
    }
}
