//! Sending (section 8) and loopback (section 12; AN-937 for what TSR, RSR and FIFO hold afterwards).

use super::{BufferMemory, Dp8390, crc, dcr, isr, rsr, tcr};
use crate::net::MAX_FRAME;

/// Longest packet that is looked at: no more than two frames' worth, whatever TBCR says.
const LONGEST: usize = 4096;

/// TSR after a packet was sent, by loopback mode: transmitted; carrier lost and no heartbeat where the transceiver is not
/// part of the loop (AN-937, table of results).
const SENT: [u8; 4] = [0x01, 0x53, 0x43, 0x03];

impl Dp8390 {
    /// Sends the packet at TPSR. What goes out on the wire comes back, without its frame check sequence.
    pub(super) fn transmit(&mut self, memory: &impl BufferMemory) -> Option<Vec<u8>> {
        let mut frame = vec![0; usize::from(self.tbcr).min(LONGEST)];
        memory.read(u16::from(self.tpsr) << 8, &mut frame);
        if self.words() && self.dcr & dcr::BOS != 0 {
            for pair in frame.chunks_exact_mut(2) {
                pair.swap(0, 1);
            }
        }
        self.clda = (u16::from(self.tpsr) << 8).wrapping_add(self.tbcr);
        let mode = self.loopback();
        self.tsr = SENT[usize::from(mode)];
        self.isr |= isr::PTX;
        if mode != 0 && self.dcr & dcr::LS == 0 {
            self.loop_back(&frame);
        }
        // Through the transceiver the packet is on the wire too; otherwise it stays inside.
        (mode == 0 || mode == 3).then(|| self.on_the_wire(frame)).flatten()
    }

    /// The frame as others see it: nobody takes one with a wrong check sequence, a fragment or a giant.
    fn on_the_wire(&self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        if self.tcr & tcr::CRC != 0 {
            let body = frame.len().checked_sub(4)?;
            if frame[body..] != crc::fcs(&frame[..body]) {
                return None;
            }
            frame.truncate(body);
        }
        (frame.len() >= 14 && frame.len() <= MAX_FRAME).then_some(frame)
    }

    /// The packet comes back through the FIFO, of which the last bytes and the count remain. Of words only one half is
    /// looped: even bytes with BOS set, odd ones without.
    fn loop_back(&mut self, frame: &[u8]) {
        let mut looped: Vec<u8> = if self.words() {
            let first = usize::from(self.dcr & dcr::BOS == 0);
            frame.iter().skip(first).step_by(2).copied().collect()
        } else {
            frame.to_vec()
        };
        let appended = self.tcr & tcr::CRC == 0;
        if appended {
            looped.extend(crc::fcs(&looped));
        }
        let count = looped.len() as u16;
        let [low, high] = count.to_le_bytes();
        for (at, byte) in looped.iter().chain(&[low, high, high]).enumerate() {
            self.fifo[at & 7] = *byte;
        }
        self.fifo_at = 0;
        let body = looped.len().saturating_sub(4);
        let right = !appended && looped[body..] == crc::fcs(&looped[..body]);
        // The receiver can't check a sequence that the transmitter generates: one generator serves both.
        self.rsr = match looped.get(..6).and_then(|_| self.filter(&looped)) {
            None => 0,
            Some(_) if right => rsr::PRX,
            Some(_) => rsr::CRC,
        };
        if self.rsr == rsr::CRC && !appended {
            self.count(1);
        }
    }
}
