//! Port 61h: the gate of timer counter 2, the speaker's AND gate, and the NMI status bits beside them.
//!
//! Follows: Intel 82371SB (PIIX3), "NMI Status and Control Register". Tests at the foot.

use crate::{Time, clock, pit::Pit};
use serde::{Deserialize, Serialize};

/// Port 61h.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaker {
    control: u8, // bits 3:0 as written
}

const GATE2: u8 = 1 << 0; // timer counter 2 enable
const DATA: u8 = 1 << 1; // speaker data enable
const CONTROL: u8 = 0x0F; // with SERR# NMI disable (2) and IOCHK# NMI disable (3)
const REFRESH: u8 = 1 << 4; // toggles with each refresh request
const OUT2: u8 = 1 << 5; // timer counter 2 output

/// Timer pulses between two memory refreshes: some 15 microseconds.
const REFRESH_PULSES: u64 = 18;

impl Speaker {
    /// Everything off.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hard reset.
    pub fn reset(&mut self, now: Time, pit: &mut Pit) {
        self.write(now, pit, 0);
    }

    /// IN from port 61h.
    pub fn read(&self, now: Time, pit: &Pit) -> u8 {
        let refresh = (clock::PIT.tick(now) / REFRESH_PULSES) & 1 != 0;
        let out = pit.out(2, now);
        self.control | if refresh { REFRESH } else { 0 } | if out { OUT2 } else { 0 }
    }

    /// OUT to port 61h.
    pub fn write(&mut self, now: Time, pit: &mut Pit, value: u8) {
        self.control = value & CONTROL;
        pit.set_gate(2, now, value & GATE2 != 0);
    }

    /// What is heard, in hertz: the square wave of counter 2, if it runs and is let through.
    pub fn tone_hz(&self, now: Time, pit: &Pit) -> Option<u32> {
        if self.control & (GATE2 | DATA) == GATE2 | DATA { pit.tone_hz(2, now) } else { None }
    }

    /// Level at the speaker's coil.
    pub fn level(&self, now: Time, pit: &Pit) -> bool {
        self.control & DATA != 0 && pit.out(2, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    #[test]
    fn gate_2_starts_the_count_and_out_2_is_seen() {
        let (mut bench, mut pit, mut port) = (Bench::new(), Pit::new(), Speaker::new());
        bench.outb(&mut pit, 3, 0xB0);
        for byte in [100, 0] {
            bench.outb(&mut pit, 2, byte);
        }
        bench.pass(1_000_000);
        assert_eq!(port.read(bench.now, &pit) & OUT2, 0, "gated");
        port.write(bench.now, &mut pit, 1);
        bench.pass(80_000);
        assert_eq!(port.read(bench.now, &pit) & OUT2, 0);
        bench.pass(10_000);
        assert_eq!(port.read(bench.now, &pit) & OUT2, OUT2);
        assert_eq!(port.read(bench.now, &pit) & CONTROL, 1);
    }

    #[test]
    fn a_tone_needs_gate_and_data() {
        let (mut bench, mut pit, mut port) = (Bench::new(), Pit::new(), Speaker::new());
        port.write(bench.now, &mut pit, 3);
        bench.outb(&mut pit, 3, 0xB6);
        for byte in 1193u16.to_le_bytes() {
            bench.outb(&mut pit, 2, byte);
        }
        bench.pass(1_000_000);
        assert_eq!(port.tone_hz(bench.now, &pit), Some(1000));
        port.write(bench.now, &mut pit, 1);
        assert_eq!(port.tone_hz(bench.now, &pit), None);
    }

    #[test]
    fn refresh_toggles_every_15_microseconds() {
        let (pit, port) = (Pit::new(), Speaker::new());
        let bits: Vec<bool> =
            (0..4).map(|i| port.read(Time(i * 15_086 + 1000), &pit) & REFRESH != 0).collect();
        assert_eq!(bits, [false, true, false, true]);
    }
}
