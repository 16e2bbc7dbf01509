//! The upper halves of address spaces, where systems keep their kernel, as what several spaces have in common.
//!
//! Translated kernel code that jumps from page to page rests on the mapping of the pages that it jumps to. Most processes
//! map the kernel alike, by top-level entries that are the same: spaces with equal upper entries share one number
//! for the code they map there, so that a context switch costs kernel code nothing. A space leaves as soon as
//! one of its upper top-level entries is stored to; what lies below them is watched for all members together.

use super::space::{Paging, Space, entry};
use crate::interp::blocks::BuildMix;
use crate::memory::{Memory, PAGE, Place};
use std::collections::HashSet;

/// First number of a half as the user of walked frames; smaller ones are groups.
pub(super) const FIRST: u32 = 64;
/// Halves known at once.
const MOST: usize = 8;

/// What several spaces have in common above the boundary.
#[derive(Debug)]
pub(super) struct Half {
    smm: bool,
    /// The space without its root.
    space: Space,
    /// Upper entries of the top table, without their A and D bits.
    top: Vec<u64>,
    /// Uses of walked frames under an older one are void.
    pub serial: u32,
    /// Names the code pages mapped there; another number once any of them changed.
    pub code_serial: u32,
    /// Pages that translated code jumps to without asking for their translation again.
    pub pages: HashSet<u64, BuildMix>,
    used: u64,
}

/// All halves of one machine.
#[derive(Debug, Default)]
pub(super) struct Halves {
    pub list: Vec<Half>,
    clock: u64,
}

/// Whether `linear` lies where systems keep the kernel.
pub(super) fn is_upper(paging: Paging, linear: u64) -> bool {
    match paging {
        Paging::None => false,
        Paging::Bits32 | Paging::Pae => linear >= 0xc000_0000,
        Paging::Level4 | Paging::Level5 => linear >> 63 != 0,
    }
}

/// Offset in the top table of the first upper entry, where the top table is in memory.
pub(super) fn upper_start(paging: Paging) -> Option<u16> {
    match paging {
        Paging::None | Paging::Pae => None,
        Paging::Bits32 => Some(0xc00),
        Paging::Level4 | Paging::Level5 => Some(0x800),
    }
}

/// The frame of the top table, if it is in memory, and the upper entries.
pub(super) fn top_of(mem: &Memory, space: &Space) -> Option<(Option<u32>, Vec<u64>)> {
    let plain = !(entry::A | entry::D);
    if space.paging == Paging::Pae {
        return Some((None, vec![space.pdpte[3] & plain]));
    }
    let start = usize::from(upper_start(space.paging)?);
    let Place::Frame(f) = mem.read_place(mem.mask(space.root) / PAGE) else { return None };
    let mut bytes = [0; PAGE as usize];
    mem.ram.copy_out(f as usize * PAGE as usize, &mut bytes);
    let mut both = plain;
    if space.paging == Paging::Bits32 {
        both &= plain << 32;
        both |= plain & 0xffff_ffff;
    }
    let words = bytes[start..].chunks_exact(8);
    let top = words.map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default()) & both).collect();
    Some((Some(f), top))
}

impl Halves {
    /// The half of a space with these upper entries. A new one gets the numbers that `fresh` gives; the second result is a
    /// half that had to go for it and is now this one.
    pub fn find(
        &mut self,
        smm: bool,
        space: &Space,
        top: Vec<u64>,
        mut fresh: impl FnMut() -> (u32, u32),
    ) -> (usize, bool) {
        self.clock += 1;
        let space = Space { root: 0, pdpte: [0; 4], ..*space };
        if let Some(n) = self.list.iter().position(|h| h.smm == smm && h.space == space && h.top == top) {
            self.list[n].used = self.clock;
            return (n, false);
        }
        let (serial, code_serial) = fresh();
        let half = Half { smm, space, top, serial, code_serial, pages: HashSet::default(), used: self.clock };
        if self.list.len() < MOST {
            self.list.push(half);
            return (self.list.len() - 1, false);
        }
        let oldest = (0..MOST).min_by_key(|&n| self.list[n].used).unwrap_or(0);
        self.list[oldest] = half;
        (oldest, true)
    }
}
