//! The power management function of the PIIX4, function 3, revision 3 (Intel 82371AB datasheet, chapter 7.1): where
//! the ACPI and SMBus ports lie and whether a write to APMC raises an SMI. The ports' registers have a chip of their own.

use super::{ConfigSpace, Identity, PciFunction};
use serde::{Deserialize, Serialize};

const PMBASE: usize = 0x40;
const DEVACTB: usize = 0x58;
const PMREGMISC: usize = 0x80;
const SMBBA: usize = 0x90; // SMBus base address
const SMBHSTCFG: usize = 0xd2; // SMBus host configuration
const APMC_EN: u32 = 1 << 25;

/// PIIX4 function 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerFunction {
    config: ConfigSpace,
    apmc_preset: bool,
}

impl PowerFunction {
    /// The function after power-on. With `apmc_preset`, APMC_EN is set from the start: firmware that sees it takes
    /// system management mode as set up already, which is what a machine without it must say.
    pub fn new(apmc_preset: bool) -> PowerFunction {
        let id = Identity { vendor: 0x8086, device: 0x7113, revision: 3, class: 0x068000 };
        let mut power = PowerFunction { config: ConfigSpace::new(id).with_pin(1), apmc_preset };
        let c = &mut power.config;
        c.allow(0x04, 0x0101, 2);
        c.allow(0x0c, 0, 2);
        c.allow(PMBASE, 0xffc0, 4);
        c.allow(0x44, !0, 4); // CNTA: count A
        c.allow(0x48, !0, 4); // CNTB
        c.allow(0x4c, !0, 4); // GPICTL
        c.allow(0x50, !0, 4); // DEVRESD
        c.allow(0x54, !0, 4); // DEVACTA
        c.allow(DEVACTB, !0, 4);
        for devres in (0x5c..0x80).step_by(4) {
            c.allow(devres, !0, 4); // DEVRESA-J
        }
        c.allow(PMREGMISC, 1, 1);
        c.allow(SMBBA, 0xfff0, 4);
        c.allow(SMBHSTCFG, 0x0f, 1);
        c.allow(0xd3, 0xff, 1); // SMBSLVC
        c.allow(0xd4, 0xff, 1); // SMBSHDW1
        c.allow(0xd5, 0xff, 1); // SMBSHDW2
        power.reset();
        power
    }

    /// The values after a bus reset.
    pub fn reset(&mut self) {
        let c = &mut self.config;
        c.reset_header();
        for r in 0x40..0x100 {
            c.set8(r, 0);
        }
        c.set16(0x06, 0x0280);
        c.set32(PMBASE, 1);
        c.set32(SMBBA, 1);
        c.set32(DEVACTB, if self.apmc_preset { APMC_EN } else { 0 });
    }

    /// First of the 64 ACPI ports, if they are enabled.
    pub fn pm_base(&self) -> Option<u16> {
        let base = self.config.get16(PMBASE) & 0xffc0;
        (self.config.get8(PMREGMISC) & 1 != 0 && base != 0).then_some(base)
    }

    /// First of the 16 SMBus ports, if they are enabled.
    pub fn smbus_base(&self) -> Option<u16> {
        let base = self.config.get16(SMBBA) & 0xfff0;
        let enabled = self.config.io_enabled() && self.config.get8(SMBHSTCFG) & 1 != 0;
        (enabled && base != 0).then_some(base)
    }

    /// Whether a write to APMC (port B2h) raises an SMI.
    pub fn apmc_raises_smi(&self) -> bool {
        self.config.get32(DEVACTB) & APMC_EN != 0
    }
}

impl PciFunction for PowerFunction {
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
    fn pm_ports_need_base_and_enable() {
        let mut p = PowerFunction::new(true);
        assert_eq!(p.config_read(0, Width::Dword), 0x7113_8086);
        assert_eq!(p.config_read(8, Width::Byte), 3);
        assert!(p.apmc_raises_smi());
        let _ = p.config_write(0x40, Width::Dword, 0xffff_ffff);
        assert_eq!(p.config_read(0x40, Width::Dword), 0xffc1);
        let _ = p.config_write(0x40, Width::Dword, 0x0601);
        assert_eq!(p.pm_base(), None);
        let _ = p.config_write(0x80, Width::Byte, 1);
        assert_eq!(p.pm_base(), Some(0x600));
    }

    #[test]
    fn smbus_needs_io_base_and_host_enable() {
        let mut p = PowerFunction::new(false);
        let _ = p.config_write(0x90, Width::Dword, 0x701);
        let _ = p.config_write(0xd2, Width::Byte, 9);
        assert_eq!(p.smbus_base(), None);
        let _ = p.config_write(4, Width::Word, 1);
        assert_eq!(p.smbus_base(), Some(0x700));
        assert!(!p.apmc_raises_smi());
        p.reset();
        assert_eq!(p.smbus_base(), None);
    }
}
