//! Remote DMA (section 9): between buffer memory and the computer, through the card's data port.

use super::{BufferMemory, Dp8390, Remote, isr};

impl Dp8390 {
    /// RD2-RD0 of the command register.
    pub(super) fn remote_command(&mut self, memory: &impl BufferMemory, rd: u8) {
        self.remote = match rd {
            0 => return,
            1 => Remote::Read,
            2 => Remote::Write,
            3 => {
                // The packet at BNRY: its own header says how long it is.
                self.crda = u16::from(self.bnry) << 8;
                let count = [memory.get(self.crda.wrapping_add(2)), memory.get(self.crda.wrapping_add(3))];
                self.rbcr = u16::from_le_bytes(count);
                Remote::Send
            }
            _ => Remote::Idle,
        };
        if self.remote != Remote::Idle && self.rbcr == 0 {
            self.remote_done(memory);
        }
    }

    /// Bytes that one access to the data port moves.
    fn unit(&self) -> u16 {
        if self.words() { 2 } else { 1 }
    }

    /// Whether reads of the data port move bytes, and how many are left.
    pub fn readable(&self) -> Option<u16> {
        matches!(self.remote, Remote::Read | Remote::Send).then_some(self.rbcr)
    }

    /// Whether writes to the data port move bytes, and how many are left.
    pub fn writable(&self) -> Option<u16> {
        (self.remote == Remote::Write).then_some(self.rbcr)
    }

    /// One transfer out of memory: a word in word mode, else a byte. All ones when none is asked for.
    pub fn remote_read(&mut self, memory: &impl BufferMemory) -> u16 {
        if self.readable().is_none() {
            return !0;
        }
        let value = if self.words() {
            let at = self.crda & !1;
            u16::from_le_bytes([memory.get(at), memory.get(at | 1)])
        } else {
            memory.get(self.crda).into()
        };
        self.moved(memory, self.unit());
        value
    }

    /// One transfer into memory. Lost when none is asked for.
    pub fn remote_write(&mut self, memory: &mut impl BufferMemory, value: u16) {
        if self.writable().is_none() {
            return;
        }
        let [low, high] = value.to_le_bytes();
        if self.words() {
            let at = self.crda & !1;
            memory.set(at, low);
            memory.set(at | 1, high);
        } else {
            memory.set(self.crda, low);
        }
        self.moved(memory, self.unit());
    }

    /// How many bytes from CRDA on pass in whole accesses of `width` bytes before anything but the address and the count
    /// changes.
    fn row(&self, left: u16, wanted: usize, width: usize) -> usize {
        let to_stop = usize::from((u16::from(self.pstop) << 8).wrapping_sub(self.crda));
        let to_stop = if to_stop == 0 { 0x1_0000 } else { to_stop };
        // The last access sets ISR and may raise the interrupt: it passes by itself.
        let left = usize::from(left.saturating_sub(1)) / width * width;
        let n = wanted.min(left).min(to_stop).min(0x1_0000 - usize::from(self.crda));
        if self.words() && self.crda & 1 != 0 { 0 } else { n / width * width }
    }

    /// Many accesses of `width` bytes, a multiple of the unit, at once: all but the last; the number of bytes.
    pub fn remote_read_row(&mut self, memory: &impl BufferMemory, to: &mut [u8], width: usize) -> usize {
        let Some(left) = self.readable() else { return 0 };
        let n = self.row(left, to.len(), width);
        memory.read(self.crda, &mut to[..n]);
        self.moved(memory, n as u16);
        n
    }

    /// Many accesses of `width` bytes, a multiple of the unit, at once: all but the last; the number of bytes.
    pub fn remote_write_row(&mut self, memory: &mut impl BufferMemory, from: &[u8], width: usize) -> usize {
        let Some(left) = self.writable() else { return 0 };
        let n = self.row(left, from.len(), width);
        memory.write(self.crda, &from[..n]);
        self.moved(memory, n as u16);
        n
    }

    fn moved(&mut self, memory: &impl BufferMemory, bytes: u16) {
        if bytes == 0 {
            return;
        }
        self.crda = self.crda.wrapping_add(bytes);
        if self.crda == u16::from(self.pstop) << 8 {
            self.crda = u16::from(self.pstart) << 8;
        }
        self.rbcr = self.rbcr.saturating_sub(bytes);
        if self.rbcr == 0 {
            self.remote_done(memory);
        }
    }

    fn remote_done(&mut self, memory: &impl BufferMemory) {
        if self.remote == Remote::Send {
            self.bnry = memory.get((u16::from(self.bnry) << 8) | 1);
            self.overflowed = false;
        }
        self.remote = Remote::Idle;
        self.isr |= isr::RDC;
    }
}
