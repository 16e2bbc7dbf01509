//! System control port A (92h): a fast way to A20 and to a processor reset.
//!
//! Follows: Intel 82371SB (PIIX3), "Port 92 register". Its A20 is ORed with the keyboard controller's by the board.

use crate::{Ctx, Ports, Width, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

const FAST_INIT: u8 = 1 << 0; // going from 0 to 1 resets the processor
const FAST_A20: u8 = 1 << 1;

/// Port 92h.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port92 {
    value: u8,
    reset_asked: bool,
}

impl Port92 {
    /// Both bits clear.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hard reset.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Whether it lets address line 20 through.
    pub fn a20(&self) -> bool {
        self.value & FAST_A20 != 0
    }

    /// Whether the reset line was pulsed since this was last asked.
    pub fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.reset_asked)
    }
}

impl Ports for Port92 {
    fn read(&mut self, _ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| if port == 0 { self.value } else { 0xFF })
    }

    fn write(&mut self, _ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| {
            if port == 0 {
                self.reset_asked |= byte & !self.value & FAST_INIT != 0;
                self.value = byte & (FAST_INIT | FAST_A20);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    #[test]
    fn a20_follows_and_reset_is_an_edge() {
        let (mut bench, mut port) = (Bench::new(), Port92::new());
        bench.outb(&mut port, 0, 0x02);
        assert!(port.a20() && !port.take_reset());
        assert_eq!(bench.inb(&mut port, 0), 0x02);
        bench.outb(&mut port, 0, 0x03);
        assert!(port.take_reset());
        bench.outb(&mut port, 0, 0x01);
        assert!(!port.take_reset() && !port.a20());
    }
}
