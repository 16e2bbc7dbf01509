//! The four pages of sixteen registers (section 10.1, 10.2). Reading and writing are two tables: few registers can do both.

use super::{BufferMemory, Dp8390, cr, isr};

fn low(v: &mut u16, byte: u8) {
    *v = *v & 0xff00 | u16::from(byte);
}

fn high(v: &mut u16, byte: u8) {
    *v = *v & 0x00ff | u16::from(byte) << 8;
}

impl Dp8390 {
    /// The page that CR selects.
    pub fn page(&self) -> u8 {
        self.cr >> cr::PAGE_SHIFT
    }

    /// Reads register `offset` of the page that CR selects; `None` where there is none: a card may have one there.
    pub fn read(&mut self, offset: u8) -> Option<u8> {
        if offset & 15 == 0 {
            return Some(self.cr);
        }
        match self.page() {
            0 => self.read_status(offset & 15),
            1 => Some(self.read_address(offset & 15)),
            2 => self.read_setting(offset & 15),
            _ => None,
        }
    }

    /// Writes register `offset` of the page that CR selects. A frame that is sent comes back.
    pub fn write(&mut self, memory: &mut impl BufferMemory, offset: u8, value: u8) -> Option<Vec<u8>> {
        let offset = offset & 15;
        match (self.page(), offset) {
            (_, 0) => return self.command(memory, value),
            (0, _) => self.write_setting(offset, value),
            (1, 1..=6) => self.par[usize::from(offset) - 1] = value,
            (1, 7) => self.curr = value,
            (1, _) => self.mar[usize::from(offset) & 7] = value,
            (2, 1) => low(&mut self.clda, value),
            (2, 2) => high(&mut self.clda, value),
            (2, 3) => low(&mut self.next, value),
            (2, 5) => high(&mut self.next, value),
            _ => {}
        }
        None
    }

    fn read_status(&mut self, offset: u8) -> Option<u8> {
        Some(match offset {
            1 => self.clda as u8,
            2 => (self.clda >> 8) as u8,
            3 => self.bnry,
            4 => self.tsr,
            5 => 0, // NCR: there are no collisions
            6 => self.read_fifo(),
            7 => self.status(),
            8 => self.crda as u8,
            9 => (self.crda >> 8) as u8,
            12 => self.rsr,
            13..=15 => std::mem::take(&mut self.tally[usize::from(offset) - 13]),
            _ => return None,
        })
    }

    fn read_address(&self, offset: u8) -> u8 {
        match offset {
            1..=6 => self.par[usize::from(offset) - 1],
            7 => self.curr,
            _ => self.mar[usize::from(offset) & 7],
        }
    }

    fn read_setting(&self, offset: u8) -> Option<u8> {
        Some(match offset {
            1 => self.pstart,
            2 => self.pstop,
            3 => self.next as u8,
            4 => self.tpsr,
            5 => (self.next >> 8) as u8,
            6 => (self.clda >> 8) as u8,
            7 => self.clda as u8,
            // Bits that are not there read as ones.
            12 => self.rcr | 0xc0,
            13 => self.tcr | 0xe0,
            14 => self.dcr | 0x80,
            15 => self.imr | 0x80,
            _ => return None,
        })
    }

    fn write_setting(&mut self, offset: u8, value: u8) {
        match offset {
            1 => self.pstart = value,
            2 => self.pstop = value,
            3 => {
                self.bnry = value;
                self.overflowed = false; // packets were removed
            }
            4 => self.tpsr = value,
            5 => low(&mut self.tbcr, value),
            6 => high(&mut self.tbcr, value),
            7 => self.isr &= !value,
            8 => {
                low(&mut self.rsar, value);
                self.crda = self.rsar;
            }
            9 => {
                high(&mut self.rsar, value);
                self.crda = self.rsar;
            }
            10 => low(&mut self.rbcr, value),
            11 => high(&mut self.rbcr, value),
            12 => self.set_receive(value & 0x3f),
            13 => self.tcr = value & 0x1f,
            14 => self.dcr = value & 0x7f,
            15 => self.imr = value & 0x7f,
            _ => {}
        }
    }

    /// ISR with its status bit.
    fn status(&self) -> u8 {
        let reset = self.stopped() || self.overflowed;
        self.isr & !isr::RST | if reset { isr::RST } else { 0 }
    }

    fn read_fifo(&mut self) -> u8 {
        let byte = self.fifo[usize::from(self.fifo_at & 7)];
        self.fifo_at = self.fifo_at.wrapping_add(1) & 7;
        byte
    }
}
