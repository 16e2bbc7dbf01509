//! The PC's standard parallel port (SPP) with a printer at it that is always ready.
//!
//! Follows: IBM PC/AT Technical Reference, "Parallel port"; IEEE 1284-1994 for the direction bit. Tests at the foot.

use crate::{Ctx, Ports, Width, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

const CONTROL_STROBE: u8 = 1 << 0; // going up, it gives the character to the printer
const CONTROL_IRQ: u8 = 1 << 4; // the printer's acknowledge interrupts
const CONTROL_INPUT: u8 = 1 << 5; // the data lines are inputs
const CONTROL_BITS: u8 = 0x3F;
/// Not busy, no acknowledge just now, paper, selected, no error.
const STATUS_READY: u8 = 0xDF;

/// A parallel port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parallel {
    outlet: usize, // where characters go: the host's index of this port
    data: u8,
    control: u8,
    acknowledged: bool, // the printer has acknowledged and nobody asked yet
}

impl Parallel {
    /// A port whose characters leave by the host's parallel port `outlet`.
    pub fn new(outlet: usize) -> Self {
        Parallel { outlet, data: 0, control: 0x0C, acknowledged: false }
    }

    /// Hard reset.
    pub fn reset(&mut self) {
        *self = Self::new(self.outlet);
    }

    /// Whether there was an acknowledge pulse that interrupts (IRQ 7) since this was last asked.
    pub fn take_pulse(&mut self) -> bool {
        std::mem::take(&mut self.acknowledged)
    }

    fn read_port(&self, offset: u16) -> u8 {
        match offset {
            0 if self.control & CONTROL_INPUT != 0 => 0xFF,
            0 => self.data,
            1 => STATUS_READY,
            2 => self.control | !CONTROL_BITS,
            _ => 0xFF,
        }
    }

    fn write_port(&mut self, ctx: &mut Ctx, offset: u16, value: u8) {
        match offset {
            0 => self.data = value,
            2 => {
                if value & !self.control & CONTROL_STROBE != 0 {
                    ctx.host.parallel_out(self.outlet, self.data);
                    self.acknowledged |= value & CONTROL_IRQ != 0;
                }
                self.control = value & CONTROL_BITS;
            }
            _ => {}
        }
    }
}

impl Ports for Parallel {
    fn read(&mut self, _ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(port))
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(ctx, port, byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    #[test]
    fn a_strobe_prints_one_character() {
        let (mut bench, mut port) = (Bench::new(), Parallel::new(0));
        bench.outb(&mut port, 0, b'A');
        assert_eq!(bench.inb(&mut port, 1) & 0x80, 0x80, "not busy");
        bench.outb(&mut port, 2, 0x1D);
        bench.outb(&mut port, 2, 0x1D);
        bench.outb(&mut port, 2, 0x1C);
        assert_eq!(bench.outside.parallel, b"A");
        assert!(port.take_pulse());
        assert!(!port.take_pulse());
    }

    #[test]
    fn registers_read_back() {
        let (mut bench, mut port) = (Bench::new(), Parallel::new(0));
        bench.outb(&mut port, 0, 0xAA);
        assert_eq!(bench.inb(&mut port, 0), 0xAA);
        assert_eq!(bench.inb(&mut port, 2), 0xCC);
        bench.outb(&mut port, 2, 0x20);
        assert_eq!(bench.inb(&mut port, 0), 0xFF, "the lines are inputs");
    }
}
