//! The PIIX4's SMBus host controller, with no device on the bus: every transaction ends in a device error at once,
//! as on a board with empty sockets.
//!
//! Follows: Intel 82371AB (PIIX4) data sheet (290562-001), section 7.3. Tests at the foot.

use crate::{Ctx, Ports, Width, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

const STATUS_INTERRUPT: u8 = 1 << 1; // a command completed
const STATUS_DEVICE_ERROR: u8 = 1 << 2; // nobody answered
const STATUS_CLEARABLE: u8 = 0x1E;
const CONTROL_ENABLE_IRQ: u8 = 1 << 0;
const CONTROL_START: u8 = 1 << 6;
const CONTROL_BITS: u8 = 0x1F; // START and KILL read as zero

/// The controller: 16 ports at the PIIX4's SMBBA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmBus {
    status: u8,     // SMBHSTSTS
    control: u8,    // SMBHSTCNT
    command: u8,    // SMBHSTCMD
    address: u8,    // SMBHSTADD
    data: [u8; 2],  // SMBHSTDAT0, 1
    block: Vec<u8>, // SMBBLKDAT: 32 bytes
    cursor: u8,     // where in it
    slave: [u8; 8], // SMBSLVCNT to SMBSLVDAT: kept, without effect
}

impl SmBus {
    /// Idle.
    pub fn new() -> Self {
        SmBus { block: vec![0; 32], ..Self::default() }
    }

    /// Hard reset.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// The interrupt line.
    pub fn irq(&self) -> bool {
        self.control & CONTROL_ENABLE_IRQ != 0 && self.status & (STATUS_INTERRUPT | STATUS_DEVICE_ERROR) != 0
    }

    fn read_port(&mut self, offset: u16) -> u8 {
        match offset {
            0 => self.status,
            2 => {
                self.cursor = 0; // reading the control register rewinds the block buffer
                self.control
            }
            3 => self.command,
            4 => self.address,
            5 | 6 => self.data[usize::from(offset - 5)],
            7 => {
                let byte = self.block.get(usize::from(self.cursor & 31)).copied().unwrap_or(0);
                self.cursor = (self.cursor + 1) & 31;
                byte
            }
            8..16 => self.slave[usize::from(offset - 8)],
            _ => 0, // 1 is the slave's status
        }
    }

    fn write_port(&mut self, offset: u16, value: u8) {
        match offset {
            0 => self.status &= !(value & STATUS_CLEARABLE),
            2 => {
                self.control = value & CONTROL_BITS;
                if value & CONTROL_START != 0 {
                    self.status |= STATUS_DEVICE_ERROR;
                }
            }
            3 => self.command = value,
            4 => self.address = value,
            5 | 6 => self.data[usize::from(offset - 5)] = value,
            7 => {
                if let Some(byte) = self.block.get_mut(usize::from(self.cursor & 31)) {
                    *byte = value;
                }
                self.cursor = (self.cursor + 1) & 31;
            }
            8..16 => self.slave[usize::from(offset - 8)] = value,
            _ => {}
        }
    }
}

impl Ports for SmBus {
    fn read(&mut self, _ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(port))
    }

    fn write(&mut self, _ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(port, byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    #[test]
    fn nobody_answers() {
        let (mut bench, mut bus) = (Bench::new(), SmBus::new());
        bench.outb(&mut bus, 4, 0xA1);
        bench.outb(&mut bus, 2, 0x48);
        assert_eq!(bench.inb(&mut bus, 0), STATUS_DEVICE_ERROR, "not busy, no answer");
        bench.outb(&mut bus, 0, 0x1E);
        assert_eq!(bench.inb(&mut bus, 0), 0);
        assert_eq!(bench.inb(&mut bus, 2), 0x08);
    }
}
