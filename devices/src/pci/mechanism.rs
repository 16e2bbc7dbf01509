//! Configuration mechanism #1: an address register at CF8h and a window of four bytes at CFCh (PCI 2.1, 3.7.4.1).
//!
//! CONFADD answers doublewords at CF8h only; every narrower access there passes on to the ISA bus, which is how the
//! PIIX3's reset control register can lie at CF9h (82441FX datasheet, 3.1).

use crate::Width;
use serde::{Deserialize, Serialize};

const ENABLE: u32 = 1 << 31;
const IMPLEMENTED: u32 = 0x80ff_fffc; // bits 30:24 and 1:0 are reserved and read 0

/// The address register of mechanism #1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMechanism {
    confadd: u32, // configuration address: which register of which function CFCh shows
}

/// One access to configuration space. `register` counts bytes, `width` tells the byte enables; it never leaves its
/// doubleword.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigAccess {
    pub bus: u8,
    pub device: u8,
    pub function: u8,
    pub register: u8,
    pub width: Width,
}

impl ConfigMechanism {
    /// The register after reset.
    pub fn reset(&mut self) {
        self.confadd = 0;
    }

    /// IN from CF8h + `offset`; `None` if this chip leaves it to the ISA bus.
    pub fn read_address(&self, offset: u16, width: Width) -> Option<u32> {
        (offset == 0 && width == Width::Dword).then_some(self.confadd)
    }

    /// OUT to CF8h + `offset`; whether this chip took it.
    pub fn write_address(&mut self, offset: u16, width: Width, value: u32) -> bool {
        let taken = offset == 0 && width == Width::Dword;
        if taken {
            self.confadd = value & IMPLEMENTED;
        }
        taken
    }

    /// What an access to CFCh + `offset` means, if the window is open. A width that would leave the window is cut.
    pub fn access(&self, offset: u16, width: Width) -> Option<ConfigAccess> {
        if self.confadd & ENABLE == 0 {
            return None;
        }
        let lane = (offset & 3) as u8;
        let width = match (width, lane) {
            (Width::Byte, _) | (_, 3) => Width::Byte,
            (Width::Word, _) | (_, 1 | 2) => Width::Word,
            _ => Width::Dword,
        };
        Some(ConfigAccess {
            bus: (self.confadd >> 16) as u8,
            device: (self.confadd >> 11) as u8 & 31,
            function: (self.confadd >> 8) as u8 & 7,
            register: self.confadd as u8 | lane,
            width,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_doublewords_reach_the_address() {
        let mut m = ConfigMechanism::default();
        assert!(!m.write_address(0, Width::Byte, 0x80));
        assert!(!m.write_address(1, Width::Byte, 0x06));
        assert!(!m.write_address(0, Width::Word, 0xffff));
        assert!(m.write_address(0, Width::Dword, 0xffff_ffff));
        assert_eq!(m.read_address(0, Width::Dword), Some(0x80ff_fffc));
        assert_eq!(m.read_address(1, Width::Byte), None);
    }

    #[test]
    fn the_window_yields_bus_device_function_and_register() {
        let mut m = ConfigMechanism::default();
        assert_eq!(m.access(0, Width::Dword), None);
        assert!(m.write_address(0, Width::Dword, 0x8002_0b3c)); // bus 2, device 1, function 3, register 3Ch
        let a = m.access(1, Width::Byte).unwrap();
        assert_eq!((a.bus, a.device, a.function, a.register, a.width), (2, 1, 3, 0x3d, Width::Byte));
        assert_eq!(m.access(2, Width::Word).unwrap().register, 0x3e);
        assert_eq!(m.access(3, Width::Dword).unwrap().width, Width::Byte);
    }
}
