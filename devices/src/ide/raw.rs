//! The 2,352 bytes that a mode 1 sector has on the disc (ECMA-130, clauses 14 and annexes A and B): sync pattern, header,
//! user data, EDC, eight zeros and two layers of Reed-Solomon parity. An image holds only the user data; the rest is
//! computed for READ CD.

use super::cd::BLOCK;
use super::media_info::msf;
use crate::Medium;
use serde::{Deserialize, Serialize};

const SECTOR: usize = 2352;
const USER: usize = 16; // sync and header come first
const EDC: usize = USER + 2048;
const P: usize = EDC + 12;
const Q: usize = P + 172;

/// Which parts of a sector the host wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    sync: bool,
    header: bool,
    user: bool,
    parity: bool,
}

impl Layout {
    /// User data only.
    pub const COOKED: Layout = Layout { sync: false, header: false, user: true, parity: false };

    /// Byte 9 of READ CD. A sub-header, which mode 1 doesn't have, adds nothing.
    pub fn from_flags(flags: u8) -> Layout {
        Layout {
            sync: flags & 0x80 != 0,
            header: flags & 0x20 != 0,
            user: flags & 0x10 != 0,
            parity: flags & 0x08 != 0,
        }
    }

    /// Bytes of a sector.
    pub fn size(self) -> usize {
        self.parts().map(|(from, to)| to - from).into_iter().sum()
    }

    fn parts(self) -> [(usize, usize); 4] {
        let part = |wanted, from, to| if wanted { (from, to) } else { (from, from) };
        [
            part(self.sync, 0, 12),
            part(self.header, 12, USER),
            part(self.user, USER, EDC),
            part(self.parity, EDC, SECTOR),
        ]
    }
}

/// Reads bytes of the sectors from `first` on, laid out as asked; whether the medium could be read. What lies past
/// the end of a last block that isn't whole reads 0.
pub(super) fn read(medium: &mut dyn Medium, first: u32, layout: Layout, offset: u64, to: &mut [u8]) -> bool {
    if layout == Layout::COOKED {
        return user_data(medium, u64::from(first) * BLOCK + offset, to);
    }
    let size = layout.size() as u64;
    let mut done = 0;
    while done < to.len() && size != 0 {
        let at = offset + done as u64;
        let mut sector = [0; SECTOR];
        let lba = first.wrapping_add((at / size) as u32);
        if !user_data(medium, u64::from(lba) * BLOCK, &mut sector[USER..EDC]) {
            return false;
        }
        complete(&mut sector, lba);
        let wanted: Vec<u8> =
            layout.parts().iter().flat_map(|&(a, b)| sector[a..b].iter().copied()).collect();
        let from = &wanted[(at % size) as usize..];
        let n = from.len().min(to.len() - done);
        to[done..done + n].copy_from_slice(&from[..n]);
        done += n;
    }
    true
}

fn user_data(medium: &mut dyn Medium, offset: u64, to: &mut [u8]) -> bool {
    let there = (medium.len().saturating_sub(offset)).min(to.len() as u64) as usize;
    to[there..].fill(0);
    there == 0 || medium.read(offset, &mut to[..there]).is_ok()
}

/// Adds everything around the user data.
fn complete(sector: &mut [u8; SECTOR], lba: u32) {
    sector[1..11].fill(0xff);
    let bcd = |n: u8| ((n / 10) << 4) | (n % 10);
    let [minute, second, frame] = msf(lba);
    sector[12..16].copy_from_slice(&[bcd(minute), bcd(second), bcd(frame), 1]);
    let edc = edc(&sector[..EDC]);
    sector[EDC..EDC + 4].copy_from_slice(&edc.to_le_bytes());
    parity(sector, P, 86, 24, |vector, i| vector + 86 * i);
    // Q runs diagonally over 26 rows of words, the P parity included.
    parity(sector, Q, 52, 43, |vector, i| 2 * ((44 * i + 43 * (vector / 2)) % 1118) + vector % 2);
}

/// The EDC polynomial (x^16+x^15+x^2+1)(x^16+x^2+x+1), least significant bit first.
fn edc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |edc, &b| {
        (0..8).fold(edc ^ u32::from(b), |e, _| if e & 1 != 0 { e >> 1 ^ 0xd801_8001 } else { e >> 1 })
    })
}

/// Two parity bytes for each of `vectors` vectors of `length` bytes of the area behind the sync pattern, such that sum and weighted sum
/// of each vector are 0 in GF(2^8) over x^8+x^4+x^3+x^2+1.
fn parity(
    sector: &mut [u8; SECTOR],
    to: usize,
    vectors: usize,
    length: usize,
    index: impl Fn(usize, usize) -> usize,
) {
    const AREA: usize = 12;
    for vector in 0..vectors {
        let (mut weighted, mut sum) = (0u8, 0u8);
        for i in 0..length {
            let byte = sector[AREA + index(vector, i)];
            sum ^= byte;
            weighted = double(weighted ^ byte);
        }
        // a + b = sum and 2a + b = weighted sum of the rest, so 3a = the difference.
        let first = third(double(weighted) ^ sum);
        sector[to + vector] = first;
        sector[to + vectors + vector] = first ^ sum;
    }
}

fn double(x: u8) -> u8 {
    x << 1 ^ if x & 0x80 != 0 { 0x1d } else { 0 }
}

/// Division by 3 in GF(2^8): 3 has the inverse F4h.
fn third(x: u8) -> u8 {
    let mut result = 0;
    let mut power = x;
    for bit in 0..8 {
        if 0xf4 >> bit & 1 != 0 {
            result ^= power;
        }
        power = double(power);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector() -> [u8; SECTOR] {
        let mut s = [0; SECTOR];
        for (i, b) in s[USER..EDC].iter_mut().enumerate() {
            *b = (i * 7 + i / 256) as u8;
        }
        complete(&mut s, 16);
        s
    }

    #[test]
    fn header_names_the_sector() {
        assert_eq!(sector()[..16], [0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 2, 0x16, 1]);
        assert_eq!(edc(&sector()[..EDC + 4]), 0, "a CRC over data and CRC is 0");
    }

    #[test]
    fn three_times_a_third_is_the_whole() {
        assert!((0..=255u8).all(|x| double(third(x)) ^ third(x) == x));
    }

    /// ECMA-130 annex A: in each code word, the sum and the sum weighted by powers of alpha are 0.
    #[test]
    fn parity_words_are_code_words() {
        let s = sector();
        for vector in 0..86 {
            let word: Vec<u8> = (0..26).map(|i| s[12 + vector + 86 * i]).collect();
            check(&word);
        }
        for vector in 0..52 {
            let (row, side) = (vector / 2, vector % 2);
            let mut word: Vec<u8> =
                (0..43).map(|i| s[12 + 2 * ((44 * i + 43 * row) % 1118) + side]).collect();
            word.extend([s[Q + vector], s[Q + 52 + vector]]);
            check(&word);
        }
    }

    fn check(word: &[u8]) {
        assert_eq!(word.iter().fold(0, |a, b| a ^ b), 0);
        assert_eq!(word.iter().fold(0, |a, b| double(a) ^ b), 0);
    }
}
