//! The ISA bridge of the PIIX3, function 0 (Intel 82371SB datasheet, chapter 2.2), and its reset control register at
//! port CF9h. The other ISA chips inside of it have modules of their own; ELCR belongs to the interrupt controllers.

use super::{ConfigSpace, Identity, PciFunction};
use serde::{Deserialize, Serialize};

const PIRQRCA: usize = 0x60;
const SYSTEM_RESET: u8 = 1 << 1; // SRST: hard instead of soft
const RESET_CPU: u8 = 1 << 2; // RCPU: the edge that does it

/// PIIX3 function 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsaBridge {
    config: ConfigSpace,
    rc: u8, // reset control register, CF9h
}

/// What a write to the reset control register asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// INIT to the processor only.
    Soft,
    /// Everything, as after power-on.
    Hard,
}

impl Default for IsaBridge {
    fn default() -> Self {
        IsaBridge::new()
    }
}

impl IsaBridge {
    /// The bridge after power-on.
    pub fn new() -> IsaBridge {
        let id = Identity { vendor: 0x8086, device: 0x7000, revision: 0, class: 0x060100 };
        let mut bridge = IsaBridge { config: ConfigSpace::new(id), rc: 0 };
        let c = &mut bridge.config;
        c.allow(0x04, 0x0008, 2); // special cycles; I/O, memory and master are always on
        c.allow(0x0c, 0, 2);
        c.allow(0x3c, 0, 1);
        c.allow(0x4c, 0x7f, 1); // IORT: I/O recovery timer
        c.allow(0x4e, 0x01ff, 2); // XBCS: X-bus chip selects
        c.allow(PIRQRCA, 0x8f8f_8f8f, 4);
        c.allow(0x69, 0xfe, 1); // TOM: top of memory
        c.allow(0x6a, 0x8000, 2); // MSTAT
        c.allow(0x70, 0xef, 1); // MBIRQ0
        c.allow(0x76, 0x8f8f, 2); // MDMA
        c.allow(0x78, 0xffff, 2); // PCSC
        c.allow(0x80, 0x7f, 1); // APICBASE
        c.allow(0x82, 0x0f, 1); // DLC: deterministic latency
        c.allow(0xa0, 0x1f, 1); // SMICNTL
        c.allow(0xa2, 0x00ff, 2); // SMIEN
        c.allow(0xa4, !0, 4); // SEE
        c.allow(0xa8, 0xff, 1); // FTMR
        c.allow(0xaa, 0x00ff, 2); // SMIREQ
        c.allow(0xac, 0xff, 1); // CTLTMR
        c.allow(0xae, 0xff, 1); // CTHTMR
        bridge.reset();
        bridge
    }

    /// The values after a bus reset.
    pub fn reset(&mut self) {
        let c = &mut self.config;
        for r in 0x40..0x100 {
            c.set8(r, 0);
        }
        c.set16(0x04, 0x0007);
        c.set16(0x06, 0x0200);
        c.set8(0x0e, 0x80); // a device of several functions
        c.set8(0x4c, 0x4d);
        c.set16(0x4e, 0x0003);
        c.set32(PIRQRCA, 0x8080_8080);
        c.set8(0x69, 0x02);
        c.set8(0x70, 0x80);
        c.set16(0x76, 0x0c0c);
        c.set16(0x78, 0x0002);
        c.set8(0xa0, 0x08);
        c.set8(0xa8, 0x0f);
        self.rc = 0;
    }

    /// The IRQ that PIRQ line 0 (PIRQA#) to 3 is routed to, if any. Reserved values route nowhere.
    pub fn irq_of(&self, pirq: usize) -> Option<u8> {
        let route = self.config.get8(PIRQRCA + (pirq & 3));
        (route & 0x80 == 0 && !matches!(route & 15, 0 | 1 | 2 | 8 | 13)).then_some(route & 15)
    }

    /// IN from CF9h.
    pub fn read_reset(&self) -> u8 {
        self.rc
    }

    /// OUT to CF9h: a rising bit 2 resets, as bit 1 says how.
    pub fn write_reset(&mut self, value: u8) -> Option<Reset> {
        let rises = self.rc & RESET_CPU == 0 && value & RESET_CPU != 0;
        self.rc = value & (SYSTEM_RESET | RESET_CPU);
        rises.then_some(if value & SYSTEM_RESET != 0 { Reset::Hard } else { Reset::Soft })
    }
}

impl PciFunction for IsaBridge {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }
    fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Width;
    use crate::pci::Effect;

    #[test]
    fn pirqs_are_routed_by_60h_to_63h() {
        let mut b = IsaBridge::new();
        assert_eq!((0..4).map(|p| b.irq_of(p)).collect::<Vec<_>>(), [None; 4]);
        assert_eq!(b.config_write(0x60, Width::Dword, 0x0d0a_0b05), Effect::Map);
        assert_eq!((0..4).map(|p| b.irq_of(p)).collect::<Vec<_>>(), [Some(5), Some(11), Some(10), None]);
        assert_eq!(b.config_write(0x61, Width::Byte, 0x8b), Effect::Map);
        assert_eq!(b.irq_of(1), None);
    }

    #[test]
    fn reset_needs_a_rising_edge() {
        let mut b = IsaBridge::new();
        assert_eq!(b.write_reset(0x02), None);
        assert_eq!(b.write_reset(0x06), Some(Reset::Hard));
        assert_eq!(b.write_reset(0x06), None);
        assert_eq!(b.write_reset(0x00), None);
        assert_eq!(b.write_reset(0x04), Some(Reset::Soft));
        assert_eq!(b.read_reset(), 0x04);
    }

    #[test]
    fn identity_and_multifunction_bit() {
        let b = IsaBridge::new();
        assert_eq!(b.config_read(0, Width::Dword), 0x7000_8086);
        assert_eq!(b.config_read(8, Width::Dword), 0x0601_0000);
        assert_eq!(b.config_read(0x0e, Width::Byte), 0x80);
        assert_eq!(b.config_read(0x60, Width::Dword), 0x8080_8080);
    }
}
