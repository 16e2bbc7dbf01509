//! 8254 programmable interval timer: three 16-bit counters on one crystal.
//!
//! Follows: Intel 8254 data sheet (231164-005), "Mode definitions" and "Counter latch/Read-back". A counter is not
//! stepped: it keeps the clock pulse at which it was loaded, and its value, its OUT and the edges of OUT are computed
//! from the pulses gone by since. Tests at the foot. What channel 2 drives is in [`crate::speaker`].

use crate::{Ctx, Ports, Time, Timed, Width, clock, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

/// Which bytes of a count go through the port (RW1, RW0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Lsb,
    Msb,
    /// Least significant byte first, then most significant.
    Word,
}

/// Where the counting element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Run {
    /// Not counting: value and OUT as they are.
    Stopped { value: u32, out: bool },
    /// Counting since clock pulse `origin`.
    Counting { origin: u64 },
    /// Held by GATE, this many pulses into the count.
    Held { elapsed: u64 },
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    control: u8,              // RW1 RW0 M2 M1 M0 BCD as programmed
    register: u16,            // CR, the count register: what was last written
    initial: u32,             // the count that the counting element (CE) was loaded with, 1 to 10000h
    run: Run,                 // the counting element
    load: Option<u64>,        // CE will be loaded from CR at this clock pulse
    null_count: bool,         // CR is newer than CE
    gate: bool,               // the GATE input
    first_byte: Option<u8>,   // LSB of a two-byte write whose MSB has yet to come
    second_read: bool,        // the next read of a two-byte count gives the MSB
    count_latch: Option<u16>, // OL, the output latch
    status_latch: Option<u8>, // latched by the read-back command
    seen: u64,                // rising edges of OUT are counted up to this pulse ...
    edges: u64,               // ... and these have not been asked for yet
}

impl Counter {
    fn new(gate: bool) -> Self {
        Counter {
            control: 0x30,
            register: 0,
            initial: 0x1_0000,
            run: Run::Stopped { value: 0, out: false },
            load: None,
            null_count: false,
            gate,
            first_byte: None,
            second_read: false,
            count_latch: None,
            status_latch: None,
            seen: 0,
            edges: 0,
        }
    }

    fn mode(&self) -> u8 {
        match self.control >> 1 & 7 {
            mode @ 6.. => mode & 3, // X10 and X11
            mode => mode,
        }
    }

    fn access(&self) -> Access {
        match self.control >> 4 & 3 {
            1 => Access::Lsb,
            2 => Access::Msb,
            _ => Access::Word,
        }
    }

    fn bcd(&self) -> bool {
        self.control & 1 != 0
    }

    /// How many values the counting element has.
    fn modulus(&self) -> u32 {
        if self.bcd() { 10_000 } else { 0x1_0000 }
    }

    /// CR as a number of pulses. Zero is the largest count; modes 2 and 3 can't do one.
    fn written_count(&self) -> u32 {
        let count = if self.bcd() {
            let digit = |i: u32| u32::from(self.register >> (4 * i) & 15);
            (digit(3) * 1000 + digit(2) * 100 + digit(1) * 10 + digit(0)) % 10_000
        } else {
            u32::from(self.register)
        };
        match (count, self.mode()) {
            (0, _) => self.modulus(),
            (1, 2 | 3) => 2,
            _ => count,
        }
    }

    /// Pulses for which mode 3's OUT is high in each period.
    fn high_half(&self) -> u64 {
        self.n().div_ceil(2)
    }

    /// The count that runs, in pulses.
    fn n(&self) -> u64 {
        u64::from(self.initial.max(1))
    }

    /// The counting element, `elapsed` pulses after its load.
    fn value_after(&self, elapsed: u64) -> u32 {
        let n = self.n();
        let modulus = u64::from(self.modulus());
        let value = match self.mode() {
            2 => n - elapsed % n,
            3 => {
                let phase = elapsed % n;
                let steps = if phase < self.high_half() { phase } else { phase - self.high_half() };
                (n & !1).saturating_sub(2 * steps)
            }
            _ => n + modulus - elapsed % modulus,
        };
        (value % modulus) as u32
    }

    /// OUT, `elapsed` pulses after the load.
    fn out_after(&self, elapsed: u64) -> bool {
        let n = self.n();
        match self.mode() {
            0 | 1 => elapsed >= n,
            2 => elapsed % n != n - 1,
            3 => elapsed % n < self.high_half(),
            _ => elapsed != n,
        }
    }

    /// Rising edges of OUT within the first `elapsed` pulses after the load.
    fn rises_after(&self, elapsed: u64) -> u64 {
        let n = self.n();
        match self.mode() {
            0 | 1 => u64::from(elapsed >= n),
            2 | 3 => elapsed / n,
            _ => u64::from(elapsed > n),
        }
    }

    /// The first pulse after `seen` at which OUT rises, if it goes on like this.
    fn next_rise(&self) -> Option<u64> {
        let Run::Counting { origin } = self.run else { return None };
        let n = self.n();
        let elapsed = self.seen.saturating_sub(origin);
        let rise = match self.mode() {
            0 | 1 => n,
            2 | 3 => (elapsed / n + 1).saturating_mul(n),
            _ => n + 1,
        };
        (rise > elapsed).then(|| origin.saturating_add(rise))
    }

    fn value(&self, pulse: u64) -> u32 {
        match self.run {
            Run::Stopped { value, .. } => value,
            Run::Counting { origin } => self.value_after(pulse.saturating_sub(origin)),
            Run::Held { elapsed } => self.value_after(elapsed),
        }
    }

    fn out(&self, pulse: u64) -> bool {
        match self.run {
            Run::Stopped { out, .. } => out,
            Run::Counting { origin } => self.out_after(pulse.saturating_sub(origin)),
            Run::Held { elapsed } => self.out_after(elapsed),
        }
    }

    /// Catches up to `pulse`: at most one load lies between.
    fn settle(&mut self, pulse: u64) {
        if let Some(at) = self.load.filter(|at| *at <= pulse) {
            self.count_edges(at.saturating_sub(1));
            self.changing(at, |counter| counter.load_now(at));
        }
        self.count_edges(pulse);
    }

    fn count_edges(&mut self, pulse: u64) {
        if pulse <= self.seen {
            return;
        }
        if let Run::Counting { origin } = self.run {
            let before = self.rises_after(self.seen.saturating_sub(origin));
            let risen = self.rises_after(pulse.saturating_sub(origin)).saturating_sub(before);
            self.edges = self.edges.saturating_add(risen);
        }
        self.seen = pulse;
    }

    /// Does `change` at `pulse` and counts the edge that it makes of OUT as it was one moment before.
    fn changing(&mut self, pulse: u64, change: impl FnOnce(&mut Self)) {
        let before = self.out(self.seen);
        change(self);
        self.seen = self.seen.max(pulse);
        if !before && self.out(pulse) {
            self.edges = self.edges.saturating_add(1);
        }
    }

    /// CR goes to CE.
    fn load_now(&mut self, at: u64) {
        // A new count for the square wave may come in at half time, when OUT goes low.
        let half = match self.run {
            Run::Counting { origin } if self.mode() == 3 => {
                at.saturating_sub(origin) % self.n() == self.high_half()
            }
            _ => false,
        };
        self.initial = self.written_count();
        self.load = None;
        self.null_count = false;
        let origin = if half { at.saturating_sub(self.high_half()) } else { at };
        self.run = match self.mode() {
            0 | 4 if !self.gate => Run::Held { elapsed: 0 },
            _ => Run::Counting { origin },
        };
    }

    fn stop(&mut self, pulse: u64, out: bool) {
        let value = self.value(pulse);
        self.run = Run::Stopped { value, out };
    }

    fn write_control(&mut self, pulse: u64, control: u8) {
        self.changing(pulse, |counter| {
            let value = counter.value(pulse);
            counter.control = control & 0x3F;
            counter.run = Run::Stopped { value: value % counter.modulus(), out: counter.mode() != 0 };
        });
        self.load = None;
        self.null_count = true;
        self.first_byte = None;
        self.second_read = false;
        self.count_latch = None;
        self.status_latch = None;
    }

    fn write_byte(&mut self, pulse: u64, byte: u8) {
        self.register = match (self.access(), self.first_byte.take()) {
            (Access::Lsb, _) => u16::from(byte),
            (Access::Msb, _) => u16::from(byte) << 8,
            (Access::Word, Some(low)) => u16::from_le_bytes([low, byte]),
            (Access::Word, None) => {
                self.first_byte = Some(byte);
                if self.mode() == 0 {
                    self.load = None;
                    self.stop(pulse, false);
                }
                return;
            }
        };
        self.null_count = true;
        let next = pulse.saturating_add(1);
        match (self.mode(), self.run) {
            (0 | 4, _) => self.load = Some(next),
            (2, Run::Counting { origin }) => self.load = Some(self.end_of(self.n(), origin, pulse)),
            (3, Run::Counting { origin }) => self.load = Some(self.end_of_half(origin, pulse)),
            (2 | 3, _) if self.gate => self.load = Some(next),
            _ => {} // waits for a trigger
        }
    }

    /// The end of the period that runs at `pulse`.
    fn end_of(&self, n: u64, origin: u64, pulse: u64) -> u64 {
        if pulse < origin {
            return origin;
        }
        origin.saturating_add(((pulse - origin) / n + 1).saturating_mul(n))
    }

    fn end_of_half(&self, origin: u64, pulse: u64) -> u64 {
        let end = self.end_of(self.n(), origin, pulse);
        let half = end.saturating_sub(self.n() - self.high_half());
        if half > pulse { half } else { end }
    }

    fn read_byte(&mut self, pulse: u64) -> u8 {
        if let Some(status) = self.status_latch.take() {
            return status;
        }
        let [low, high] = self.count_latch.unwrap_or_else(|| self.count(pulse)).to_le_bytes();
        let last = self.access() != Access::Word || self.second_read;
        let byte = match self.access() {
            Access::Lsb => low,
            Access::Msb => high,
            Access::Word if self.second_read => high,
            Access::Word => low,
        };
        self.second_read = !last;
        if last {
            self.count_latch = None;
        }
        byte
    }

    /// The counting element as the processor reads it.
    fn count(&self, pulse: u64) -> u16 {
        let value = self.value(pulse);
        if !self.bcd() {
            return value as u16;
        }
        let digit = |divisor: u32| value / divisor % 10;
        (digit(1000) << 12 | digit(100) << 8 | digit(10) << 4 | digit(1)) as u16
    }

    fn latch_count(&mut self, pulse: u64) {
        if self.count_latch.is_none() {
            self.count_latch = Some(self.count(pulse));
        }
    }

    fn latch_status(&mut self, pulse: u64) {
        if self.status_latch.is_none() {
            let status = u8::from(self.out(pulse)) << 7 | u8::from(self.null_count) << 6 | self.control;
            self.status_latch = Some(status);
        }
    }

    fn set_gate(&mut self, pulse: u64, gate: bool) {
        if gate == self.gate {
            return;
        }
        self.gate = gate;
        self.changing(pulse, |counter| match (counter.mode(), gate, counter.run) {
            (0 | 4, false, Run::Counting { origin }) => {
                counter.run = Run::Held { elapsed: pulse.saturating_sub(origin) };
            }
            (0 | 4, true, Run::Held { elapsed }) => {
                counter.run = Run::Counting { origin: pulse.saturating_sub(elapsed) };
            }
            (2 | 3, false, _) => {
                counter.load = None;
                counter.stop(pulse, true);
            }
            (1 | 2 | 3 | 5, true, _) => counter.load = Some(pulse.saturating_add(1)),
            _ => {}
        });
    }
}

/// The 8254: counter 0 drives IRQ 0, counter 1 once refreshed memory, counter 2 the speaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pit {
    counters: [Counter; 3],
}

impl Default for Pit {
    fn default() -> Self {
        Self::new()
    }
}

impl Pit {
    /// A 8254 as a PC wires it: the gates of counters 0 and 1 are tied high.
    pub fn new() -> Self {
        Pit { counters: [Counter::new(true), Counter::new(true), Counter::new(false)] }
    }

    /// Hard reset (a real 8254 has none: its state is undefined until programmed).
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Drives GATE of counter `n` (0-2).
    pub fn set_gate(&mut self, n: usize, now: Time, level: bool) {
        let pulse = clock::PIT.tick(now);
        let counter = &mut self.counters[n % 3];
        counter.settle(pulse);
        counter.set_gate(pulse, level);
    }

    /// Level of counter `n`'s GATE.
    pub fn gate(&self, n: usize) -> bool {
        self.counters[n % 3].gate
    }

    /// Level of counter `n`'s OUT at `now`.
    pub fn out(&self, n: usize, now: Time) -> bool {
        let pulse = clock::PIT.tick(now);
        let mut counter = self.counters[n % 3].clone();
        counter.settle(pulse);
        counter.out(pulse)
    }

    /// Rising edges of counter 0's OUT since this was last asked: so many pulses of IRQ 0.
    pub fn take_edges(&mut self, now: Time) -> u64 {
        self.counters[0].settle(clock::PIT.tick(now));
        std::mem::take(&mut self.counters[0].edges)
    }

    /// Frequency of the square wave that counter `n` makes, in hertz, if it makes one.
    pub fn tone_hz(&self, n: usize, now: Time) -> Option<u32> {
        let mut counter = self.counters[n % 3].clone();
        counter.settle(clock::PIT.tick(now));
        let running = counter.mode() == 3 && matches!(counter.run, Run::Counting { .. });
        running.then(|| 1_193_182 / counter.initial.max(1))
    }

    fn read_port(&mut self, now: Time, offset: u16) -> u8 {
        let pulse = clock::PIT.tick(now);
        match self.counters.get_mut(usize::from(offset)) {
            Some(counter) => {
                counter.settle(pulse);
                counter.read_byte(pulse)
            }
            None => 0xFF,
        }
    }

    fn write_port(&mut self, now: Time, offset: u16, value: u8) {
        let pulse = clock::PIT.tick(now);
        for counter in &mut self.counters {
            counter.settle(pulse);
        }
        match (offset, value >> 6) {
            (0..3, _) => self.counters[usize::from(offset)].write_byte(pulse, value),
            (3, 3) => self.read_back(pulse, value),
            (3, n) if value & 0x30 == 0 => self.counters[usize::from(n)].latch_count(pulse),
            (3, n) => self.counters[usize::from(n)].write_control(pulse, value),
            _ => {}
        }
    }

    fn read_back(&mut self, pulse: u64, command: u8) {
        for (n, counter) in self.counters.iter_mut().enumerate() {
            if command & (2 << n) == 0 {
                continue;
            }
            if command & 0x20 == 0 {
                counter.latch_count(pulse);
            }
            if command & 0x10 == 0 {
                counter.latch_status(pulse);
            }
        }
    }
}

impl Ports for Pit {
    fn read(&mut self, ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(ctx.now, port))
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(ctx.now, port, byte));
    }
}

impl Timed for Pit {
    fn deadline(&self) -> Option<Time> {
        let counter = &self.counters[0];
        if counter.edges != 0 {
            return Some(clock::PIT.time(counter.seen));
        }
        let events = [counter.load, counter.next_rise()];
        events.into_iter().flatten().min().map(|pulse| clock::PIT.time(pulse))
    }

    fn advance(&mut self, ctx: &mut Ctx) {
        self.counters[0].settle(clock::PIT.tick(ctx.now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 8254 with all gates high, and the pulse that it stands at.
    struct Chip {
        pit: Pit,
        pulse: u64,
    }

    impl Chip {
        fn new() -> Self {
            let mut pit = Pit::new();
            pit.set_gate(2, Time(0), true);
            Chip { pit, pulse: 0 }
        }

        fn now(&self) -> Time {
            clock::PIT.time(self.pulse)
        }

        fn control(&mut self, n: u8, access: u8, mode: u8) {
            self.pit.write_port(self.now(), 3, n << 6 | access << 4 | mode << 1);
        }

        fn count(&mut self, n: u16, count: u16) {
            for byte in count.to_le_bytes() {
                self.pit.write_port(self.now(), n, byte);
            }
        }

        fn start(&mut self, n: u8, mode: u8, count: u16) {
            self.control(n, 3, mode);
            self.count(n.into(), count);
        }

        fn clk(&mut self, pulses: u64) {
            self.pulse += pulses;
        }

        fn read(&mut self, n: u8) -> u16 {
            self.pit.write_port(self.now(), 3, n << 6);
            let low = self.pit.read_port(self.now(), n.into());
            u16::from_le_bytes([low, self.pit.read_port(self.now(), n.into())])
        }

        fn gate(&mut self, level: bool) {
            self.pit.set_gate(2, self.now(), level);
        }

        /// OUT over the next pulses, as the data sheet draws it.
        fn wave(&mut self, n: usize, pulses: usize) -> String {
            (0..pulses)
                .map(|_| {
                    self.clk(1);
                    if self.pit.out(n, self.now()) { '-' } else { '_' }
                })
                .collect()
        }

        fn values(&mut self, n: u8, pulses: usize) -> Vec<u16> {
            (0..pulses)
                .map(|_| {
                    self.clk(1);
                    self.read(n)
                })
                .collect()
        }

        fn edges(&mut self) -> u64 {
            self.pit.take_edges(self.now())
        }
    }

    #[test]
    fn mode_0_counts_down_and_goes_high() {
        let mut chip = Chip::new();
        chip.start(2, 0, 4);
        assert_eq!(chip.wave(2, 8), "____----", "OUT rises N + 1 pulses after the count is written");
        chip.start(2, 0, 4);
        assert_eq!(chip.values(2, 6), [4, 3, 2, 1, 0, 0xFFFF]);
    }

    #[test]
    fn mode_0_gate_holds_the_count() {
        let mut chip = Chip::new();
        chip.start(2, 0, 4);
        chip.clk(2);
        assert_eq!(chip.read(2), 3);
        chip.gate(false);
        assert_eq!(chip.values(2, 2), [3, 3]);
        chip.gate(true);
        assert_eq!(chip.wave(2, 4), "__--");
    }

    #[test]
    fn mode_0_first_byte_of_a_new_count_stops_it() {
        let mut chip = Chip::new();
        chip.start(2, 0, 2);
        chip.clk(5);
        assert!(chip.pit.out(2, chip.now()));
        chip.pit.write_port(chip.now(), 2, 3);
        assert_eq!(chip.wave(2, 3), "___");
        chip.pit.write_port(chip.now(), 2, 0);
        assert_eq!(chip.wave(2, 5), "___--");
    }

    #[test]
    fn mode_1_is_a_retriggerable_one_shot() {
        let mut chip = Chip::new();
        chip.gate(false);
        chip.start(2, 1, 3);
        assert_eq!(chip.wave(2, 2), "--");
        chip.gate(true);
        assert_eq!(chip.wave(2, 2), "__");
        chip.gate(false);
        chip.gate(true);
        assert_eq!(chip.wave(2, 5), "___--");
    }

    #[test]
    fn mode_2_divides_by_n() {
        let mut chip = Chip::new();
        chip.start(2, 2, 3);
        assert_eq!(chip.wave(2, 9), "--_--_--_");
        chip.start(2, 2, 3);
        assert_eq!(chip.values(2, 6), [3, 2, 1, 3, 2, 1]);
    }

    #[test]
    fn mode_2_gate_restarts_the_period() {
        let mut chip = Chip::new();
        chip.start(2, 2, 4);
        chip.clk(3);
        chip.gate(false);
        assert_eq!(chip.wave(2, 3), "---");
        chip.gate(true);
        assert_eq!(chip.wave(2, 5), "---_-");
    }

    #[test]
    fn mode_2_takes_a_new_count_at_the_end_of_the_period() {
        let mut chip = Chip::new();
        chip.start(2, 2, 4);
        chip.clk(2);
        chip.count(2, 5);
        assert_eq!(chip.values(2, 9), [2, 1, 5, 4, 3, 2, 1, 5, 4]);
    }

    #[test]
    fn mode_3_even_count() {
        let mut chip = Chip::new();
        chip.start(2, 3, 4);
        assert_eq!(chip.wave(2, 8), "--__--__");
        chip.start(2, 3, 4);
        assert_eq!(chip.values(2, 6), [4, 2, 4, 2, 4, 2]);
    }

    #[test]
    fn mode_3_odd_count_is_high_one_pulse_longer() {
        let mut chip = Chip::new();
        chip.start(2, 3, 5);
        assert_eq!(chip.wave(2, 10), "---__---__");
        chip.start(2, 3, 5);
        assert_eq!(chip.values(2, 7), [4, 2, 0, 4, 2, 4, 2]);
    }

    #[test]
    fn mode_3_takes_a_new_count_at_half_time() {
        let mut chip = Chip::new();
        chip.start(2, 3, 4);
        chip.clk(1);
        chip.count(2, 6);
        assert_eq!(chip.wave(2, 10), "-___---___");
    }

    #[test]
    fn mode_4_strobes_once() {
        let mut chip = Chip::new();
        chip.start(2, 4, 3);
        assert_eq!(chip.wave(2, 7), "---_---");
        chip.count(2, 2);
        assert_eq!(chip.wave(2, 5), "--_--");
    }

    #[test]
    fn mode_5_strobes_after_a_trigger() {
        let mut chip = Chip::new();
        chip.gate(false);
        chip.start(2, 5, 3);
        assert_eq!(chip.wave(2, 5), "-----");
        chip.gate(true);
        assert_eq!(chip.wave(2, 6), "---_--");
    }

    #[test]
    fn bcd_counts_in_decimal() {
        let mut chip = Chip::new();
        chip.pit.write_port(chip.now(), 3, 0xB1);
        chip.count(2, 0x1000);
        assert_eq!(chip.values(2, 2), [0x1000, 0x0999]);
    }

    #[test]
    fn read_back_latches_status_and_count() {
        let mut chip = Chip::new();
        chip.control(2, 3, 3);
        chip.pit.write_port(chip.now(), 3, 0xE8);
        assert_eq!(
            chip.pit.read_port(chip.now(), 2),
            0b1111_0110,
            "OUT high, null count, LSB then MSB, mode 3"
        );
        chip.count(2, 1000);
        chip.clk(1);
        chip.pit.write_port(chip.now(), 3, 0xC8);
        chip.clk(50);
        assert_eq!(chip.pit.read_port(chip.now(), 2), 0b1011_0110);
        assert_eq!(chip.pit.read_port(chip.now(), 2), 0xE8);
        assert_eq!(chip.pit.read_port(chip.now(), 2), 0x03);
    }

    #[test]
    fn single_byte_access() {
        let mut chip = Chip::new();
        chip.control(2, 2, 0);
        chip.pit.write_port(chip.now(), 2, 0x12);
        chip.clk(1);
        assert_eq!(chip.pit.read_port(chip.now(), 2), 0x12);
        chip.clk(1);
        assert_eq!(chip.pit.read_port(chip.now(), 2), 0x11);
        chip.control(2, 1, 0);
        chip.pit.write_port(chip.now(), 2, 0x12);
        chip.clk(2);
        assert_eq!(chip.pit.read_port(chip.now(), 2), 0x11);
    }

    #[test]
    fn counter_0_reports_each_edge_once_however_late() {
        let mut chip = Chip::new();
        chip.start(0, 2, 0);
        chip.edges();
        chip.clk(1 + 0xFFFF);
        assert_eq!(chip.edges(), 0);
        chip.clk(1);
        assert_eq!(chip.edges(), 1);
        assert_eq!(chip.edges(), 0);
        chip.clk(0x1_0000 * 1_000_000_000);
        assert_eq!(chip.edges(), 1_000_000_000);
    }

    #[test]
    fn deadline_is_the_next_edge() {
        let mut chip = Chip::new();
        chip.start(0, 3, 1000);
        chip.clk(1);
        chip.edges();
        assert_eq!(chip.pit.deadline(), Some(clock::PIT.time(1001)));
        chip.pulse = 1001;
        assert_eq!(chip.edges(), 1);
        assert_eq!(chip.pit.deadline(), Some(clock::PIT.time(2001)));
    }

    #[test]
    fn a_one_shot_has_one_deadline() {
        let mut chip = Chip::new();
        chip.start(0, 4, 1000);
        chip.edges();
        chip.clk(1);
        chip.edges();
        assert_eq!(chip.pit.deadline(), Some(clock::PIT.time(1002)), "the strobe ends with a rising edge");
        chip.clk(1001);
        assert_eq!(chip.edges(), 1);
        assert_eq!(chip.pit.deadline(), None);
    }
}
