//! Receiving: the address filter, the ring and its end (section 7), the four bytes in front of each packet.

use super::{BufferMemory, Dp8390, crc, dcr, isr, rcr, rsr};
use crate::net::{MAX_FRAME, MIN_FRAME};

/// Status, next page, count.
const HEADER: usize = 4;
/// The frame check sequence is stored behind the frame.
const FCS: usize = 4;

/// Buffers of 256 bytes that a frame of `len` bytes takes.
fn pages(len: usize) -> usize {
    (HEADER + len + FCS).div_ceil(256)
}

impl Dp8390 {
    pub(super) fn set_receive(&mut self, value: u8) {
        self.rcr = value;
        if value & rcr::MON != 0 {
            self.rsr |= rsr::DIS;
        } else {
            self.rsr &= !rsr::DIS;
        }
    }

    /// Whether a frame from the wire would be looked at at all.
    pub fn listens(&self) -> bool {
        !self.stopped() && self.loopback() == 0
    }

    /// Whether the driver has cleared PRX.
    pub fn acknowledged(&self) -> bool {
        self.isr & isr::PRX == 0
    }

    /// Whether BNRY says that nothing is left in the ring.
    pub fn emptied(&self) -> bool {
        self.after(self.bnry) == self.curr || self.bnry == self.curr
    }

    /// Whether there is room for the longest frame.
    pub fn has_room(&self) -> bool {
        !self.overflowed && self.room_for(pages(MAX_FRAME))
    }

    /// A frame comes from the wire.
    pub fn receive(&mut self, memory: &mut impl BufferMemory, frame: &[u8]) {
        let runt = frame.len() < MIN_FRAME && self.rcr & rcr::AR == 0;
        if !self.listens() || runt || frame.len() < 6 || frame.len() > MAX_FRAME {
            return;
        }
        let Some(class) = self.filter(frame) else { return };
        if self.rcr & rcr::MON != 0 {
            self.rsr = class | rsr::MPA | rsr::DIS;
            self.count(2);
        } else if self.overflowed || !self.room_for(pages(frame.len())) {
            self.rsr = class | rsr::MPA;
            self.overflowed = true;
            self.isr |= isr::OVW;
            self.count(2);
        } else {
            self.store(memory, frame, class);
        }
    }

    /// What RSR says of the frame's address if the filter lets it through (section 10.3, RCR).
    pub(super) fn filter(&self, frame: &[u8]) -> Option<u8> {
        let to = &frame[..6];
        let physical = to[0] & 1 == 0;
        let accepted = if physical {
            self.rcr & rcr::PRO != 0 || to == self.par
        } else if to == [0xff; 6] {
            self.rcr & rcr::AB != 0
        } else {
            let bit = crc::multicast_bit(to);
            self.rcr & rcr::AM != 0 && self.mar[bit >> 3] & 1 << (bit & 7) != 0
        };
        accepted.then_some(if physical { 0 } else { rsr::PHY })
    }

    /// The page after `page` in the ring.
    fn after(&self, page: u8) -> u8 {
        let next = page.wrapping_add(1);
        if next == self.pstop { self.pstart } else { next }
    }

    /// Whether so many pages can be filled without CURR reaching BNRY. A packet that would fill the ring to the last page
    /// counts as too long, because CURR = BNRY means an empty ring to drivers that keep them equal. Others keep BNRY one
    /// behind and don't go round the ring for it: the page in front of the first one stands for the last one.
    fn room_for(&self, pages: usize) -> bool {
        let ring = usize::from(self.pstop.saturating_sub(self.pstart));
        let (curr, bnry) = (usize::from(self.curr), usize::from(self.bnry));
        let free = if curr < bnry { bnry - curr } else { ring.saturating_sub(curr - bnry) };
        pages < free
    }

    fn store(&mut self, memory: &mut impl BufferMemory, frame: &[u8], class: u8) {
        let next = (0..pages(frame.len())).fold(self.curr, |p, _| self.after(p));
        let status = rsr::PRX | class;
        let [low, high] = ((frame.len() + FCS) as u16).to_le_bytes();
        self.clda = u16::from(self.curr) << 8;
        self.put(memory, &[status, next, low, high]);
        self.put(memory, frame);
        self.put(memory, &crc::fcs(frame));
        self.rsr = status;
        self.curr = next;
        self.isr |= isr::PRX;
    }

    /// Local DMA into the ring: bytes from CLDA on, round the ring's end.
    fn put(&mut self, memory: &mut impl BufferMemory, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if (self.clda >> 8) as u8 == self.pstop {
                self.clda = u16::from(self.pstart) << 8;
            }
            let n = bytes.len().min(256 - usize::from(self.clda & 0xff));
            let (now, rest) = bytes.split_at(n);
            if self.words() && self.dcr & dcr::BOS != 0 {
                for (i, byte) in now.iter().enumerate() {
                    memory.set(self.clda.wrapping_add(i as u16) ^ 1, *byte);
                }
            } else {
                memory.write(self.clda, now);
            }
            self.clda = self.clda.wrapping_add(n as u16);
            bytes = rest;
        }
    }
}
