//! A record of all frames as pcapng (IETF draft-ietf-opsawg-pcapng; the format of Wireshark), one interface for each card.
//! Times are the guest's: virtual time from the calendar's start on.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const ETHERNET: u16 = 1;
/// Options: nanoseconds, name of an interface, direction of a packet.
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
/// Bytes that may wait to be written.
const WAITING: usize = 64 << 10;

/// A file of frames.
pub struct Dump {
    file: BufWriter<File>,
    start_ns: u64,
    failed: bool,
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (12 + body.len().next_multiple_of(4)) as u32;
    let mut out = Vec::with_capacity(len as usize);
    out.extend(kind.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(body);
    out.resize(len as usize - 4, 0);
    out.extend(len.to_le_bytes());
    out
}

fn section() -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0]); // version 1.0
    body.extend((-1i64).to_le_bytes()); // length not said
    block(SECTION, &body)
}

fn interface(name: &str) -> Vec<u8> {
    let mut body = ETHERNET.to_le_bytes().to_vec();
    body.extend([0; 6]); // reserved; no limit of length
    option(&mut body, IF_NAME, name.as_bytes());
    option(&mut body, IF_TSRESOL, &[9]);
    option(&mut body, 0, &[]);
    block(INTERFACE, &body)
}

fn packet(card: usize, ns: u64, outbound: bool, frame: &[u8]) -> Vec<u8> {
    let mut body = (card as u32).to_le_bytes().to_vec();
    for word in [(ns >> 32) as u32, ns as u32, frame.len() as u32, frame.len() as u32] {
        body.extend(word.to_le_bytes());
    }
    body.extend(frame);
    body.resize(body.len().next_multiple_of(4), 0);
    option(&mut body, EPB_FLAGS, &(1 + u32::from(outbound)).to_le_bytes());
    option(&mut body, 0, &[]);
    block(PACKET, &body)
}

impl Dump {
    /// A new file for `cards` cards of a machine whose calendar started `start_s` seconds after 1970.
    pub fn create(path: &Path, cards: usize, start_s: i64) -> io::Result<Dump> {
        let mut file = BufWriter::with_capacity(WAITING, File::create(path)?);
        file.write_all(&section())?;
        for card in 0..cards {
            file.write_all(&interface(&format!("net{card}")))?;
        }
        file.flush()?;
        Ok(Dump {
            file,
            start_ns: u64::try_from(start_s).unwrap_or(0).saturating_mul(1_000_000_000),
            failed: false,
        })
    }

    /// Records a frame. If the file can't be written any more the record ends.
    pub fn frame(&mut self, card: usize, now_ns: u64, outbound: bool, frame: &[u8]) {
        if !self.failed {
            let bytes = packet(card, self.start_ns.wrapping_add(now_ns), outbound, frame);
            self.failed = self.file.write_all(&bytes).is_err();
        }
    }

    /// Puts what waits into the file.
    pub fn flush(&mut self) {
        self.failed |= self.file.flush().is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_the_draft_draws_them() {
        let p = packet(1, 0x1_0000_0002, true, &[0xaa; 61]);
        assert_eq!(p.len() % 4, 0);
        assert_eq!(p[..4], [6, 0, 0, 0]);
        assert_eq!(p[4..8], p[p.len() - 4..], "length in front and behind");
        assert_eq!(p[8..28], [1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 61, 0, 0, 0, 61, 0, 0, 0]);
        assert_eq!(p[28 + 64..28 + 72], [2, 0, 4, 0, 2, 0, 0, 0], "epb_flags: outbound");
        assert_eq!(section().len(), 28);
    }
}
