//! Coprocessor error latch: turns the processor's FERR# into IRQ 13, and port F0h into IGNNE#.
//!
//! Follows: Intel 82371SB (PIIX3), "Coprocessor error function (port F0h)". Tests at the foot.

use crate::{Ctx, Ports, Width, write_bytes};
use serde::{Deserialize, Serialize};

/// The latch. As [`Ports`]: offsets 0 and 1 are ports F0h and F1h.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FpuError {
    ferr: bool,  // FERR#, asserted
    irq: bool,   // IRQ 13
    ignne: bool, // IGNNE#, asserted: the processor may go on with the error pending
}

impl FpuError {
    /// Nothing pending.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hard reset.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Drives FERR#: true is asserted.
    pub fn set_ferr(&mut self, asserted: bool) {
        self.irq |= asserted && !self.ferr;
        self.ignne &= asserted;
        self.ferr = asserted;
    }

    /// FERR#, as last driven.
    pub fn ferr(&self) -> bool {
        self.ferr
    }

    /// IRQ 13.
    pub fn irq(&self) -> bool {
        self.irq
    }

    /// IGNNE#.
    pub fn ignne(&self) -> bool {
        self.ignne
    }
}

impl Ports for FpuError {
    fn read(&mut self, _ctx: &mut Ctx, _offset: u16, width: Width) -> u32 {
        u32::MAX >> (32 - 8 * (width as u32).min(4))
    }

    fn write(&mut self, _ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, _| {
            if port == 0 {
                self.irq = false;
                self.ignne = self.ferr;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    #[test]
    fn an_error_interrupts_until_port_f0_is_written() {
        let (mut bench, mut latch) = (Bench::new(), FpuError::new());
        latch.set_ferr(true);
        assert!(latch.irq() && !latch.ignne());
        bench.outb(&mut latch, 0, 0);
        assert!(!latch.irq() && latch.ignne());
        latch.set_ferr(true);
        assert!(!latch.irq(), "the same error");
        latch.set_ferr(false);
        assert!(!latch.ignne());
        latch.set_ferr(true);
        assert!(latch.irq());
    }
}
