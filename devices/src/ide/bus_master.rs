//! One channel's bus master (Programming Interface for Bus Master IDE Controller 1.0; Intel 82371SB datasheet, 2.7):
//! it walks a table of physical regions and moves bytes between them and the drive.

use crate::{Dma, Width};
use serde::{Deserialize, Serialize};

const START: u8 = 1; // BMICX bit 0: SSBM
const TO_MEMORY: u8 = 8; // BMICX bit 3: RWCON
const ACTIVE: u8 = 1; // BMISX bit 0: BMIDEA
const ERROR: u8 = 2;
const INTERRUPT: u8 = 4;
const CAPABLE: u8 = 0x60; // drives 0 and 1 are set up for DMA; a note for software only
const END_OF_TABLE: u32 = 1 << 31;

/// A bus master and where it stands in its table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BusMaster {
    command: u8, // BMICX
    status: u8,  // BMISX
    table: u32,  // BMIDTPX: physical region descriptor table
    cursor: u32, // the next descriptor
    region: Region,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Region {
    address: u32,
    left: u32, // bytes; 0: fetch the next descriptor
    last: bool,
}

impl BusMaster {
    pub fn reset(&mut self) {
        *self = BusMaster::default();
    }

    /// Whether it waits to move bytes.
    pub fn active(&self) -> bool {
        self.status & ACTIVE != 0
    }

    /// The drive's interrupt line rose.
    pub fn interrupt(&mut self) {
        self.status |= INTERRUPT;
    }

    pub fn read(&self, offset: u16, width: Width) -> u32 {
        let mut value = [0; 4];
        for (i, byte) in value.iter_mut().enumerate().take(width as usize) {
            *byte = match usize::from(offset) + i {
                0 => self.command,
                2 => self.status,
                at @ 4..8 => self.table.to_le_bytes()[at - 4],
                _ => 0,
            };
        }
        u32::from_le_bytes(value)
    }

    pub fn write(&mut self, offset: u16, width: Width, value: u32) {
        for (i, byte) in value.to_le_bytes().into_iter().enumerate().take(width as usize) {
            match usize::from(offset) + i {
                0 => self.write_command(byte),
                2 => self.write_status(byte),
                at @ 4..8 => {
                    let mut table = self.table.to_le_bytes();
                    table[at - 4] = byte;
                    self.table = u32::from_le_bytes(table) & !3;
                }
                _ => {}
            }
        }
    }

    fn write_command(&mut self, value: u8) {
        let started = self.command & START != 0;
        self.command = value & (START | TO_MEMORY);
        match (started, value & START != 0) {
            (false, true) => {
                self.status |= ACTIVE;
                self.cursor = self.table;
                self.region = Region::default();
            }
            (true, false) => self.status &= !ACTIVE,
            _ => {}
        }
    }

    fn write_status(&mut self, value: u8) {
        self.status =
            self.status & (ACTIVE | ERROR | INTERRUPT) & !(value & (ERROR | INTERRUPT)) | value & CAPABLE;
    }

    /// Moves bytes from the drive to memory; how many, fewer than all if the table ended first.
    pub fn move_in(&mut self, dma: &mut dyn Dma, data: &[u8]) -> usize {
        self.walk(dma, data.len(), |dma, address, at, n| dma.write(address, &data[at..at + n]))
    }

    /// Moves bytes from memory to the drive; how many, fewer than all if the table ended first.
    pub fn move_out(&mut self, dma: &mut dyn Dma, data: &mut [u8]) -> usize {
        self.walk(dma, data.len(), |dma, address, at, n| dma.read(address, &mut data[at..at + n]))
    }

    fn walk(
        &mut self,
        dma: &mut dyn Dma,
        bytes: usize,
        mut piece: impl FnMut(&mut dyn Dma, u64, usize, usize),
    ) -> usize {
        let mut done = 0;
        while done < bytes && self.active() {
            if self.region.left == 0 {
                self.fetch(dma);
            }
            let n = (self.region.left as usize).min(bytes - done);
            piece(dma, u64::from(self.region.address), done, n);
            done += n;
            self.region.address = self.region.address.wrapping_add(n as u32);
            self.region.left -= n as u32;
            if self.region.left == 0 && self.region.last {
                self.status &= !ACTIVE;
            }
        }
        done
    }

    /// Reads the next descriptor. A count of 0 means 64 KiB, so every one moves something.
    fn fetch(&mut self, dma: &mut dyn Dma) {
        let mut descriptor = [0; 8];
        dma.read(u64::from(self.cursor), &mut descriptor);
        self.cursor = self.cursor.wrapping_add(8);
        let [a, b, c, d, e, f, g, h] = descriptor;
        let word = u32::from_le_bytes([e, f, g, h]);
        let count = word & 0xfffe;
        self.region = Region {
            address: u32::from_le_bytes([a, b, c, d]) & !1,
            left: if count == 0 { 0x1_0000 } else { count },
            last: word & END_OF_TABLE != 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ide::fake::Ram;

    #[test]
    fn registers_lie_where_the_specification_puts_them() {
        let mut b = BusMaster::default();
        b.write(4, Width::Dword, 0x1234_5677);
        assert_eq!(b.read(4, Width::Dword), 0x1234_5674);
        b.write(2, Width::Byte, 0x60);
        b.interrupt();
        assert_eq!(b.read(2, Width::Byte), 0x64);
        b.write(2, Width::Byte, 0x24);
        assert_eq!(b.read(2, Width::Byte), 0x20);
        b.write(0, Width::Byte, 0xff);
        assert_eq!(b.read(0, Width::Byte), 0x09);
        assert_eq!(b.read(2, Width::Byte), 0x21);
        b.write(0, Width::Byte, 8);
        assert_eq!(b.read(2, Width::Byte), 0x20);
    }

    #[test]
    fn a_table_is_walked_region_by_region() {
        let mut ram = Ram::new(0x20000);
        ram.write(0x100, &[0, 0x10, 0, 0, 4, 0, 0, 0, 0, 0x20, 0, 0, 6, 0, 0, 0x80]);
        let mut b = BusMaster::default();
        b.write(4, Width::Dword, 0x100);
        b.write(0, Width::Byte, 9);
        assert_eq!(b.move_in(&mut ram, &[1, 2, 3]), 3);
        assert!(b.active());
        assert_eq!(b.move_in(&mut ram, &[4, 5, 6, 7, 8, 9, 10, 11, 12]), 7);
        assert!(!b.active());
        assert_eq!(ram.0[0x1000..0x1004], [1, 2, 3, 4]);
        assert_eq!(ram.0[0x2000..0x2007], [5, 6, 7, 8, 9, 10, 0]);
    }

    #[test]
    fn a_count_of_zero_is_64_kib() {
        let mut ram = Ram::new(0x30000);
        ram.write(0x100, &[0, 0, 1, 0, 0, 0, 0, 0x80]);
        let mut b = BusMaster::default();
        b.write(4, Width::Dword, 0x100);
        b.write(0, Width::Byte, 1);
        let mut data = vec![0; 0x1_0001];
        assert_eq!(b.move_out(&mut ram, &mut data), 0x1_0000);
        assert!(!b.active());
    }
}
