//! The 440FX host bridge (Intel 82441FX PMC datasheet, chapter 3.2): shadowing of C0000h-FFFFFh (PAM) and SMRAM.
//!
//! It moves no bytes: [`HostBridge::pam`] and [`HostBridge::smram`] say what the registers mean and the board builds
//! its memory map from that. DRAM timing, error and buffer registers are kept and have no effect.

use super::{ConfigSpace, Effect, Identity, PciFunction};
use crate::Width;
use serde::{Deserialize, Serialize};

const PAM0: usize = 0x59;
const SMRAM: usize = 0x72;
const D_OPEN: u8 = 1 << 6;
const D_CLS: u8 = 1 << 5;
const D_LCK: u8 = 1 << 4;
const G_SMRAME: u8 = 1 << 3;

/// Host bridge, PCI device 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostBridge {
    config: ConfigSpace,
}

/// One of the thirteen regions that can be shadowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PamRegion {
    /// First physical address.
    pub start: u32,
    /// Bytes.
    pub size: u32,
    /// Reads come from RAM; else they go to PCI, that is to ROM.
    pub read: bool,
    /// Writes go to RAM; else they go to PCI.
    pub write: bool,
}

/// What the SMRAM register says about A0000h-BFFFFh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smram {
    /// SMRAM exists at all (G_SMRAME).
    pub enabled: bool,
    /// Visible outside of SMM too (D_OPEN).
    pub open: bool,
    /// Data accesses go to the display even in SMM (D_CLS).
    pub closed: bool,
    /// The register can't be changed until reset (D_LCK).
    pub locked: bool,
}

impl Smram {
    /// Whether an access to A0000h-BFFFFh meets RAM instead of the display.
    pub fn visible(self, smm: bool, code: bool) -> bool {
        self.enabled && (self.open || smm) && (code || !self.closed)
    }
}

impl Default for HostBridge {
    fn default() -> Self {
        HostBridge::new()
    }
}

impl HostBridge {
    /// The bridge after power-on.
    pub fn new() -> HostBridge {
        let id = Identity { vendor: 0x8086, device: 0x1237, revision: 2, class: 0x060000 };
        let mut bridge = HostBridge { config: ConfigSpace::new(id) };
        let c = &mut bridge.config;
        c.allow(0x04, 0x0140, 2); // memory and master are always on, I/O never
        c.allow(0x0c, 0xff00, 2);
        c.allow(0x3c, 0, 1);
        c.allow(0x50, 0xffff, 2); // PMCCFG
        c.allow(0x52, 0xff, 1); // BCR
        c.allow(0x53, 0x80, 1); // DETURBO
        c.allow(0x54, 0x3f, 1); // DBC
        c.allow(0x55, 0xff, 1); // AXC
        c.allow(0x56, 0xffff, 2); // DRT
        c.allow(0x58, 0xff, 1); // DRAMC
        for pam in PAM0..PAM0 + 7 {
            c.allow(pam, 0x33, 1);
        }
        c.allow(PAM0, 0x30, 1);
        c.allow(0x60, !0, 4); // DRB0-3: row boundaries
        c.allow(0x64, !0, 4); // DRB4-7
        c.allow(0x68, 0xc0, 1); // FDHC
        c.allow(0x70, 0xf8, 1); // MTT
        c.allow(0x71, 0x7f, 1); // CLT
        c.allow(0x90, 0xff, 1); // ERRCMD
        c.clear_by_one(0x91, 0x11, 1); // ERRSTS
        c.allow(0x93, 0x0f, 1); // TRC
        bridge.reset();
        bridge
    }

    /// Sets the subsystem that firmware may look for (zero on the chip itself).
    pub fn set_subsystem(&mut self, vendor: u16, device: u16) {
        self.config.set16(0x2c, vendor);
        self.config.set16(0x2e, device);
    }

    /// The values after a bus reset: nothing shadowed, SMRAM closed.
    pub fn reset(&mut self) {
        let c = &mut self.config;
        c.reset_header();
        c.set16(0x04, 0x0006);
        c.set16(0x06, 0x0280);
        c.set8(0x0d, 0);
        c.set16(0x50, 0x0000);
        for r in 0x52..0x60 {
            c.set8(r, 0);
        }
        c.set8(0x53, 0x80);
        c.set8(0x58, 0x01);
        for drb in 0x60..0x68 {
            c.set8(drb, 0x01);
        }
        c.set8(0x68, 0);
        c.set8(0x70, 0);
        c.set8(0x71, 0x10);
        c.set8(SMRAM, 0x02);
        c.set8(0x90, 0);
        c.set8(0x91, 0);
        c.set8(0x93, 0);
    }

    /// The thirteen shadow regions as PAM0-PAM6 have them.
    pub fn pam(&self) -> [PamRegion; 13] {
        std::array::from_fn(|i| {
            // Region 0 is F0000h in PAM0's high half; the other twelve are 16 KiB each, two to a register.
            let (start, size, register, high) = match i {
                0 => (0xf_0000, 0x1_0000, PAM0, true),
                _ => (0xc_0000 + (i as u32 - 1) * 0x4000, 0x4000, PAM0 + 1 + (i - 1) / 2, (i - 1) % 2 == 1),
            };
            let bits = self.config.get8(register) >> if high { 4 } else { 0 };
            PamRegion { start, size, read: bits & 1 != 0, write: bits & 2 != 0 }
        })
    }

    /// What the SMRAM register says.
    pub fn smram(&self) -> Smram {
        let bits = self.config.get8(SMRAM);
        Smram {
            enabled: bits & G_SMRAME != 0 && bits & 7 == 2,
            open: bits & D_OPEN != 0,
            closed: bits & D_CLS != 0,
            locked: bits & D_LCK != 0,
        }
    }

    fn write_smram(&mut self, value: u8) -> Effect {
        let old = self.config.get8(SMRAM);
        let new = if old & D_LCK != 0 {
            old & !D_CLS | value & D_CLS
        } else if value & D_LCK != 0 {
            value & 0x3f // setting the lock closes D_OPEN
        } else {
            value & 0x7f
        };
        let new = new & !7 | 2; // C_BASE_SEG is hard-wired to A0000h
        self.config.set8(SMRAM, new);
        if new == old { Effect::Nothing } else { Effect::Map }
    }
}

impl PciFunction for HostBridge {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }
    fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }
    fn config_write(&mut self, register: u8, width: Width, value: u32) -> Effect {
        let mut effect = self.config.write(register, width, value);
        let lane = SMRAM.wrapping_sub(usize::from(register));
        if lane < width as usize && lane < 4 && self.write_smram(value.to_le_bytes()[lane]) == Effect::Map {
            effect = Effect::Map;
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pam_registers_follow_the_datasheet_table() {
        let mut b = HostBridge::new();
        assert!(b.pam().iter().all(|r| !r.read && !r.write));
        assert_eq!(b.config_write(0x59, Width::Byte, 0x30), Effect::Map); // F0000-FFFFF read and write
        assert_eq!(b.config_write(0x5a, Width::Byte, 0x21), Effect::Map); // C0000 read, C4000 write
        assert_eq!(b.config_write(0x5f, Width::Byte, 0x10), Effect::Map); // EC000 read
        let on: Vec<_> = b
            .pam()
            .iter()
            .filter(|r| r.read || r.write)
            .map(|r| (r.start, r.size, r.read, r.write))
            .collect();
        assert_eq!(
            on,
            [
                (0xf0000, 0x10000, true, true),
                (0xc0000, 0x4000, true, false),
                (0xc4000, 0x4000, false, true),
                (0xec000, 0x4000, true, false)
            ]
        );
    }

    #[test]
    fn a_locked_smram_register_stays() {
        let mut b = HostBridge::new();
        assert_eq!(b.config_read(0x72, Width::Byte), 2);
        assert_eq!(b.config_write(0x72, Width::Byte, 0x4a), Effect::Map);
        assert!(b.smram().visible(false, false));
        assert_eq!(b.config_write(0x72, Width::Byte, 0x5a), Effect::Map);
        assert_eq!(b.config_read(0x72, Width::Byte), 0x1a, "the lock clears D_OPEN");
        assert_eq!(b.config_write(0x70, Width::Dword, 0x0042_1000), Effect::Nothing);
        assert!(!b.smram().visible(false, true) && b.smram().visible(true, false));
        let _ = b.config_write(0x72, Width::Byte, 0x20);
        assert!(b.smram().visible(true, true) && !b.smram().visible(true, false));
        b.reset();
        assert_eq!(b.config_read(0x72, Width::Byte), 2);
    }

    #[test]
    fn identity() {
        let b = HostBridge::new();
        assert_eq!(b.config_read(0, Width::Dword), 0x1237_8086);
        assert_eq!(b.config_read(4, Width::Word), 0x0006);
        assert_eq!(b.config_read(8, Width::Dword), 0x0600_0002);
    }
}
