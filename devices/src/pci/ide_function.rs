//! The IDE function of the PIIX3, function 1 (Intel 82371SB datasheet, chapter 2.3): where the bus master registers
//! lie and whether the two channels answer at their old addresses. The controller itself is [`crate::ide`].

use super::{BarKind, ConfigSpace, Identity, Mapping, PciFunction};
use serde::{Deserialize, Serialize};

const IDETIM: usize = 0x40;

/// PIIX3 function 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdeFunction {
    config: ConfigSpace,
}

impl Default for IdeFunction {
    fn default() -> Self {
        IdeFunction::new()
    }
}

impl IdeFunction {
    /// The function after power-on.
    pub fn new() -> IdeFunction {
        let id = Identity { vendor: 0x8086, device: 0x7010, revision: 0, class: 0x010180 };
        let mut ide = IdeFunction { config: ConfigSpace::new(id).with_bar(4, BarKind::Io, 16) };
        let c = &mut ide.config;
        c.allow(0x04, 0x0005, 2); // I/O, master
        c.allow(0x0c, 0xf000, 2); // latency timer
        c.allow(0x3c, 0, 1); // IRQ 14 and 15 are wired
        c.allow(IDETIM, 0xf3ff_f3ff, 4);
        c.allow(0x44, 0xff, 1); // SIDETIM
        ide.reset();
        ide
    }

    /// The values after a bus reset: nothing answers until firmware enables I/O. The channels' own enable bits are set: firmware made
    /// for virtual machines (OVMF) leaves them as they are, since the function that it knows ignores them.
    pub fn reset(&mut self) {
        self.config.reset_header();
        self.config.set16(0x06, 0x0280);
        self.config.set8(0x0d, 0);
        self.config.set32(IDETIM, 0x8000_8000);
        self.config.set8(0x44, 0);
    }

    /// Whether channel 0 (1F0h, 3F6h) or 1 (170h, 376h) answers: I/O enabled and the channel's IDETIM bit 15 set.
    pub fn decodes(&self, channel: usize) -> bool {
        self.config.io_enabled() && self.config.get16(IDETIM + 2 * (channel & 1)) & 0x8000 != 0
    }

    /// Where the sixteen bus master registers lie.
    pub fn bus_master_ports(&self) -> Option<Mapping> {
        self.config.mapping(4)
    }
}

impl PciFunction for IdeFunction {
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

    #[test]
    fn a_channel_needs_io_and_its_enable_bit() {
        let mut f = IdeFunction::new();
        assert!(!f.decodes(0) && !f.decodes(1));
        let _ = f.config_write(4, Width::Word, 5);
        assert!(f.decodes(0) && f.decodes(1));
        let _ = f.config_write(0x42, Width::Word, 0);
        assert!(f.decodes(0) && !f.decodes(1));
        let _ = f.config_write(0x40, Width::Word, 0);
        assert!(!f.decodes(0));
        let _ = f.config_write(0x42, Width::Word, 0x8000);
        assert!(f.decodes(1));
        assert!(f.config().bus_master());
    }

    #[test]
    fn bar4_has_sixteen_ports() {
        let mut f = IdeFunction::new();
        let _ = f.config_write(0x20, Width::Dword, !0);
        assert_eq!(f.config_read(0x20, Width::Dword), 0xffff_fff1);
        let _ = f.config_write(0x20, Width::Dword, 0xc040);
        assert_eq!(f.bus_master_ports(), None);
        let _ = f.config_write(4, Width::Word, 1);
        assert_eq!(f.bus_master_ports().map(|m| m.base), Some(0xc040));
        assert_eq!(f.config_read(0, Width::Dword), 0x7010_8086);
        assert_eq!(f.config_read(8, Width::Dword), 0x0101_8000);
    }
}
