//! Which translations came from which page-table entry: for each frame that a walk read, the entries used and the linear
//! ranges that its table maps, in which groups.

use super::Tlb;
use super::space::Step;
use crate::memory::PAGE;

/// More uses of one frame than this and a store to it drops everything.
const MAX_USES: usize = 96;

/// A table as part of an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use {
    group: u32,
    serial: u32,
    /// Linear address that entry 0 of the table maps.
    base: u64,
    shift: u8,
    size: u8,
}

#[derive(Debug, Default)]
struct Frame {
    number: u32,
    /// A bit for each eight bytes: something was derived from them.
    used: [u64; 8],
    uses: Vec<Use>,
    overflow: bool,
}

/// The reverse index.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// For each frame, one more than its place in `frames`; zero where it was not walked.
    slot: Vec<u32>,
    frames: Vec<Frame>,
    free: Vec<u32>,
}

/// What is left of a frame's uses after a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Other entries are still in use: the frame stays marked.
    Used,
    /// Nothing came from it any more.
    Unused,
    /// Too many uses to know: everything must go.
    Overflow,
}

impl Walked {
    /// Notes that a walk for `linear` in `group` used entry `step`. True if the frame needs its mark.
    pub fn note(&mut self, step: &Step, linear: u64, group: u32, serial: u32) -> bool {
        let at = step.frame as usize;
        if self.slot.len() <= at {
            self.slot.resize((at + 1).next_power_of_two(), 0);
        }
        let fresh = self.slot[at] == 0;
        if fresh {
            let index = self.free.pop().unwrap_or_else(|| {
                self.frames.push(Frame::default());
                self.frames.len() as u32 - 1
            });
            self.frames[index as usize].number = step.frame;
            self.slot[at] = index + 1;
        }
        let f = &mut self.frames[self.slot[at] as usize - 1];
        f.used[step.offset as usize >> 9] |= 1 << (step.offset >> 3 & 63);
        let entries = (PAGE / u64::from(step.size)).trailing_zeros() as u8;
        let covered = step.shift + entries;
        let base = if covered >= 64 { 0 } else { linear >> covered << covered };
        let u = Use { group, serial, base, shift: step.shift, size: step.size };
        if f.uses.last() != Some(&u) && !f.overflow && !f.uses.contains(&u) {
            if let Some(old) = f.uses.iter_mut().find(|o| o.group == group && o.serial != serial) {
                *old = u;
            } else if f.uses.len() < MAX_USES {
                f.uses.push(u);
            } else {
                f.overflow = true;
            }
        }
        fresh
    }

    /// Notes another entry of a table that walks for the same range in the same group have been noted for since anything was
    /// last dropped. False if it was not.
    pub fn note_more(&mut self, step: &Step) -> bool {
        let Some(&slot) = self.slot.get(step.frame as usize).filter(|&&s| s != 0) else { return false };
        let f = &mut self.frames[slot as usize - 1];
        f.used[step.offset as usize >> 9] |= 1 << (step.offset >> 3 & 63);
        true
    }

    /// Bytes `start..end` of `frame` changed: drops from `tlb` every range that came from them.
    pub fn stored(&mut self, frame: u32, start: u16, end: u16, tlb: &mut Tlb) -> Kept {
        let Some(&slot) = self.slot.get(frame as usize) else { return Kept::Unused };
        if slot == 0 || end <= start {
            return if slot == 0 { Kept::Unused } else { Kept::Used };
        }
        let f = &mut self.frames[slot as usize - 1];
        let mut any = false;
        for granule in (start >> 3)..=((end - 1) >> 3) {
            let (word, bit) = (granule as usize >> 6, 1u64 << (granule & 63));
            if f.used[word] & bit == 0 {
                continue;
            }
            f.used[word] &= !bit;
            any = true;
            for u in &f.uses {
                if !tlb.alive(u.group, u.serial) {
                    continue;
                }
                let per = 8 / u64::from(u.size);
                let base = u.base.wrapping_add((u64::from(granule) * per) << u.shift);
                tlb.drop_range(u.group as usize, base, per << (u.shift - 12));
            }
        }
        if !any {
            return Kept::Used;
        }
        if f.overflow {
            self.forget(frame);
            return Kept::Overflow;
        }
        f.uses.retain(|u| tlb.alive(u.group, u.serial));
        if f.uses.is_empty() || f.used == [0; 8] {
            self.forget(frame);
            return Kept::Unused;
        }
        Kept::Used
    }

    fn forget(&mut self, frame: u32) {
        let slot = std::mem::take(&mut self.slot[frame as usize]);
        if slot != 0 {
            let f = &mut self.frames[slot as usize - 1];
            f.uses.clear();
            f.used = [0; 8];
            f.overflow = false;
            self.free.push(slot - 1);
        }
    }
}
