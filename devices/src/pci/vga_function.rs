//! The display card's configuration space: 1234:1111 as Bochs and QEMU define it, known to every Bochs VBE driver. BAR 0 is the
//! linear frame buffer, BAR 2 the memory-mapped registers, and the video ROM lies behind its own BAR. The legacy VGA
//! ports and the window at A0000h answer by the command register's enables, whatever the BARs say.

use super::{BarKind, ConfigSpace, Effect, Identity, Mapping, PciFunction, ROM_BAR};
use serde::{Deserialize, Serialize};

/// The display card's PCI side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VgaFunction {
    config: ConfigSpace,
}

impl VgaFunction {
    /// A card with `frame_buffer` bytes of video memory behind BAR 0 and a ROM of `rom` bytes (0: none).
    pub fn new(frame_buffer: u32, rom: u32) -> VgaFunction {
        let id = Identity { vendor: 0x1234, device: 0x1111, revision: 2, class: 0x030000 };
        let mut config = ConfigSpace::new(id)
            .with_bar(0, BarKind::Prefetchable, frame_buffer)
            .with_bar(2, BarKind::Memory, 4096)
            .with_subsystem(0x1af4, 0x1100);
        if rom != 0 {
            config = config.with_bar(ROM_BAR, BarKind::Rom, rom);
        }
        let mut vga = VgaFunction { config };
        vga.config.allow(0x04, 0x0107, 2);
        vga.reset();
        vga
    }

    /// The values after a bus reset.
    pub fn reset(&mut self) {
        self.config.reset_header();
    }

    /// Where the linear frame buffer lies.
    pub fn frame_buffer(&self) -> Option<Mapping> {
        self.config.mapping(0)
    }

    /// Where the memory-mapped registers lie.
    pub fn registers(&self) -> Option<Mapping> {
        self.config.mapping(2)
    }

    /// Where the video ROM lies.
    pub fn rom(&self) -> Option<Mapping> {
        self.config.mapping(ROM_BAR)
    }

    /// Enables the card as a machine without firmware finds it.
    pub fn enable(&mut self) -> Effect {
        self.config.write(0x04, crate::Width::Word, 3)
    }
}

impl PciFunction for VgaFunction {
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
    fn bars_have_the_sizes_that_drivers_expect() {
        let mut v = VgaFunction::new(16 << 20, 39_000);
        for (register, mask) in [(0x10, 0xff00_0008), (0x14, 0), (0x18, 0xffff_f000), (0x30, 0xffff_0001)] {
            let _ = v.config_write(register, Width::Dword, !0);
            assert_eq!(v.config_read(register, Width::Dword), mask);
        }
        let _ = v.config_write(0x10, Width::Dword, 0xfd00_0000);
        let _ = v.config_write(0x18, Width::Dword, 0xfebf_0000);
        let _ = v.config_write(0x30, Width::Dword, 0xfebe_0001);
        assert_eq!(v.frame_buffer(), None);
        let _ = v.enable();
        assert_eq!(v.frame_buffer().map(|m| m.base), Some(0xfd00_0000));
        assert_eq!(v.registers().map(|m| m.base), Some(0xfebf_0000));
        assert_eq!(v.rom().map(|m| (m.base, m.size)), Some((0xfebe_0000, 65536)));
    }
}
