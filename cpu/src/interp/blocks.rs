//! Decoded blocks: straight runs of instructions within one 4 KiB frame, found by (place in RAM, [`ModeKey`]).
//!
//! Coherent: a frame with decoded code carries [`mark::CODE`], so every store to it is reported, and blocks whose 64-byte
//! granules it touches are dropped. An instruction that crosses into another page is a block of its own that names the
//! second frame too; who finds it must see that the next page is still there. Bounded: when the arena is full, everything is dropped and decoded again.

use super::Handler;
use crate::jit::groups::Sharing;
use crate::{
    Memory,
    insn::{Insn, ModeKey},
    jit::builder::Build,
    memory::{PAGE, Touch, mark},
    ops::End,
};
use std::collections::HashMap;

/// Most instructions in a block.
pub const MAX_BLOCK: usize = 64;
/// Instructions that the arena holds before it is emptied.
const MAX_INSNS: usize = 1 << 19;
/// Slots of the direct-mapped front of the index.
const SLOTS: usize = 1 << 14;
/// How often a block runs on the interpreter before it is translated.
const HOT: u8 = 12;
/// How often, where the translation is made again for how the code runs by now.
const HOT_AGAIN: u8 = 64;
/// That is done for a block before which so many of the last slices have ended: code whose time is spread evenly, as a kernel's,
/// would pay for it and gain nothing.
const SEEN: (usize, usize) = (3, 32);

/// What a second try would bring a block's translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Again {
    #[default]
    Open,
    /// It was made.
    Done,
    /// Nothing: it's a loop that goes back to its own start.
    Useless,
}
/// Up to how often that doubles where translations are lost again and again.
const MAX_REWRITTEN: u8 = 4;
/// No block.
pub const NONE: u32 = u32::MAX;

/// A decoded block: a cache line of the host, for the interpreter's way from one to the next waits for it.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Block {
    /// Place of the first byte in RAM: frame * 4096 + offset.
    pub at: u64,
    /// Mode it was decoded for; [`ModeKey::NEVER`] once its bytes have changed.
    pub key: ModeKey,
    /// First instruction in the arena.
    pub start: u32,
    /// Number of instructions.
    pub count: u16,
    /// Offset in the page just after the last instruction (beyond the page for one that crosses it).
    pub end_off: u16,
    /// Frame of the bytes beyond the page, or [`NONE`].
    pub second: u32,
    /// Whether the last instruction sets RIP.
    pub end: End,
    /// Which accesses share probes in its translation.
    pub sharing: Sharing,
    /// Runs the last two instructions as one.
    pub pair: Option<super::pairs::Pair>,
    /// Successors within the page: (offset in the page, block).
    pub next: [(u16, u32); 2],
    /// Its translation, [`crate::jit::NONE`] or [`crate::jit::REFUSED`].
    pub native: u32,
    /// Instructions that the translation takes off the budget.
    pub paid: u16,
    /// How often the interpreter ran it.
    pub heat: u16,
    /// From which run on it is worth a translation.
    pub hot: u8,
    /// It was found to be a short loop, which is unrolled.
    pub loops: bool,
    /// Its trace keeps to its page: which page comes next has changed too often.
    pub one_page: bool,
    /// Its translation guesses no pages.
    pub certain: bool,
    /// Its translation isn't made for one RIP, having run at others.
    pub anywhere: bool,
    /// Whether what it goes on with is to be chosen anew, if much time is spent there.
    again: Again,
}

const _: () = assert!(size_of::<Block>() == 64);

impl Block {
    /// Whether a successor can still be noted.
    pub fn has_room(&self) -> bool {
        self.next[1].1 == NONE
    }

    /// The granules of `frame` that it covers.
    fn granules(&self, frame: u32) -> u64 {
        let mut g = 0;
        if (self.at / PAGE) as u32 == frame {
            g |= granules((self.at % PAGE) as u16, self.end_off.min(PAGE as u16));
        }
        if self.second == frame {
            g |= granules(0, self.end_off - PAGE as u16);
        }
        g
    }
}

#[derive(Clone, Copy)]
struct Slot {
    at: u64,
    key: ModeKey,
    id: u32,
}

const EMPTY: Slot = Slot { at: u64::MAX, key: ModeKey(0), id: NONE };

/// What is known of a frame with code.
#[derive(Default)]
struct CodeFrame {
    /// A bit for each 64 bytes that a block covers.
    granules: u64,
    blocks: Vec<u32>,
    /// How often translations were lost to stores: each time makes code in the frame wait twice as long for the next.
    rewritten: u8,
    /// Code was decoded in it since the last such time. A page that is filled with something else is one loss, in however
    /// many stores.
    used: bool,
}

/// Hashes the small integer keys of the index: multiply and fold.
#[derive(Clone, Copy, Default)]
pub struct Mix(u64);

impl std::hash::Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u32(&mut self, v: u32) {
        self.write_u64(u64::from(v));
    }
    fn write_u64(&mut self, v: u64) {
        let m = (self.0 ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = m ^ m >> 32;
    }
}

/// For maps whose keys are addresses and numbers of our own making.
pub(crate) type BuildMix = std::hash::BuildHasherDefault<Mix>;

/// Where a block has returned to.
#[derive(Clone, Copy)]
struct Returns {
    rip: u64,
    /// Always there.
    same: bool,
    /// So often.
    times: u8,
}

/// A block that has returned to one place so often is expected to go on doing that.
const SURE: u8 = 4;
/// The last so many runs before its translation are looked at.
const LOOKED_AT: u16 = 8;

/// Counts for `--statistics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BlockStatistics {
    pub decoded: u64,
    pub dropped: u64,
    pub flushed: u64,
    pub crossing: u64,
}

/// A remembered decoding of an instruction that crosses a page: valid where the bytes are the same.
#[derive(Clone, Copy)]
struct Crossing {
    bytes: [u8; 16],
    key: ModeKey,
    insn: Insn,
    end: End,
}

/// All decoded blocks of one machine.
#[derive(Default)]
pub struct Blocks {
    insns: Vec<Insn>,
    blocks: Vec<Block>,
    slots: Vec<Slot>,
    index: HashMap<(u64, u32), u32, BuildMix>,
    frames: HashMap<u32, CodeFrame, BuildMix>,
    crossings: Vec<Option<Crossing>>,
    /// Translations of traces that a block is part of, but doesn't begin: (first block, translation).
    traces: HashMap<u32, Vec<(u32, u32)>, BuildMix>,
    /// Where blocks have returned to lately.
    returns: HashMap<u32, Returns, BuildMix>,
    /// Translations of dropped blocks, for the translator to drop.
    pub dropped: Vec<u32>,
    /// Everything was dropped, translations included.
    pub emptied: bool,
    /// Blocks before which the last slices have ended, and the last of them.
    seen: Vec<u32>,
    slices: usize,
    /// This slice is among them.
    noted: bool,
    /// Counters.
    pub statistics: BlockStatistics,
}

#[inline(always)]
fn slot_of(at: u64) -> usize {
    (at ^ at >> 12) as usize & (SLOTS - 1)
}

impl Blocks {
    /// The block at `at`, if it is decoded and live.
    #[inline(always)]
    pub fn find(&mut self, at: u64, key: ModeKey) -> Option<u32> {
        self.found(at, key).or_else(|| self.find_slow(at, key))
    }

    /// The block at `at`, if it was found there before and is live.
    #[inline(always)]
    pub fn found(&self, at: u64, key: ModeKey) -> Option<u32> {
        let s = self.slots.get(slot_of(at))?;
        (s.at == at && s.key == key).then_some(s.id)
    }

    #[inline(never)]
    fn find_slow(&mut self, at: u64, key: ModeKey) -> Option<u32> {
        let &id = self.index.get(&(at, key.0))?;
        self.slots[slot_of(at)] = Slot { at, key, id };
        Some(id)
    }

    /// A block by its number.
    #[inline(always)]
    pub fn block(&self, id: u32) -> &Block {
        &self.blocks[id as usize]
    }

    /// The instructions of a block.
    #[inline(always)]
    pub fn insns(&self, b: &Block) -> &[Insn] {
        &self.insns[b.start as usize..b.start as usize + b.count as usize]
    }

    /// Remembers that `to`, at `off` in the same page, came after `from`.
    #[inline]
    pub fn link(&mut self, from: u32, off: u16, to: u32) {
        let next = &mut self.blocks[from as usize].next;
        let n = usize::from(next[0].1 != NONE && next[0].0 != off);
        next[n] = (off, to);
    }

    /// Whether another block fits without dropping all.
    pub fn has_room(&self) -> bool {
        self.insns.len() + MAX_BLOCK <= MAX_INSNS && self.blocks.len() < MAX_INSNS / 2
    }

    /// Frames that have decoded code.
    pub fn frames_with_code(&self) -> impl Iterator<Item = u32> {
        self.frames.iter().filter(|(_, f)| f.granules != 0).map(|(&n, _)| n)
    }

    /// Counts a run of a block on the interpreter: whether it is worth a translation now.
    #[inline]
    pub fn warm(&mut self, id: u32) -> bool {
        let b = &mut self.blocks[id as usize];
        b.heat = b.heat.saturating_add(1);
        b.heat >= b.hot.into()
    }

    /// Whether a block will soon be translated if it goes on running.
    pub fn nearly_hot(&self, id: u32) -> bool {
        let b = self.block(id);
        b.native == crate::jit::NONE && b.heat.saturating_add(LOOKED_AT) >= b.hot.into()
    }

    /// Remembers that a block, or the function that it begins, returns to `rip`.
    pub fn note_return(&mut self, id: u32, rip: u64) {
        let r = self.returns.entry(id).or_insert(Returns { rip, same: true, times: 0 });
        r.same &= r.rip == rip;
        r.times = r.times.saturating_add(1);
    }

    /// Where a block, or the function that it begins, is expected to return to.
    pub fn returns_to(&self, id: u32) -> Option<u64> {
        self.returns.get(&id).filter(|r| r.same && r.times >= SURE).map(|r| r.rip)
    }

    /// A slice begins.
    pub fn begin_slice(&mut self) {
        self.noted = false;
    }

    /// Notes that a block is too long for the rest of the slice, unless one before it was: whether that block was found so
    /// often lately that its translation is worth a second try.
    pub fn seen_much(&mut self, id: u32) -> bool {
        if std::mem::replace(&mut self.noted, true) {
            return false;
        }
        match self.seen.get_mut(self.slices % SEEN.1) {
            Some(oldest) => *oldest = id,
            None => self.seen.push(id),
        }
        self.slices = self.slices.wrapping_add(1);
        let times = self.seen.iter().filter(|&&seen| seen == id).count();
        times >= SEEN.0 && self.blocks[id as usize].again == Again::Open
    }

    /// Whether a block's translation is made anew because much time is spent there.
    pub fn tried_again(&self, id: u32) -> bool {
        self.block(id).again == Again::Done
    }

    /// A block's translation needs no second try.
    pub fn fine(&mut self, id: u32) {
        self.blocks[id as usize].again = Again::Useless;
    }

    /// Whether a block's translation needs no second try, as far as is known.
    pub fn is_fine(&self, id: u32) -> bool {
        self.block(id).again == Again::Useless
    }

    /// A block's translation isn't as it was when it needed no second try.
    pub fn reopen(&mut self, id: u32) {
        self.blocks[id as usize].again = Again::Open;
    }

    /// A block's translation is to be made again, when it has run a while on the interpreter. Gives the old one.
    pub fn cool(&mut self, id: u32) -> Option<u32> {
        let b = &mut self.blocks[id as usize];
        if b.native == crate::jit::REFUSED || b.again != Again::Open {
            return None;
        }
        (b.heat, b.hot, b.again) = (0, b.hot.max(HOT_AGAIN), Again::Done);
        self.returns.remove(&id);
        let native = std::mem::replace(&mut b.native, crate::jit::NONE);
        (native != crate::jit::NONE).then_some(native)
    }

    /// Remembers a block's translation, which takes `paid` instructions off the budget.
    pub fn set_native(&mut self, id: u32, native: u32, paid: u16) {
        let b = &mut self.blocks[id as usize];
        (b.native, b.paid) = (native, paid);
    }

    /// Remembers that a block is a loop: how often it ran is not counted on.
    pub fn set_loop(&mut self, id: u32) {
        self.blocks[id as usize].loops = true;
    }

    /// Remembers that the translation of `head` goes on through `part`: it is dropped with either.
    pub fn set_part(&mut self, part: u32, head: u32, native: u32) {
        self.traces.entry(part).or_default().push((head, native));
    }

    /// A block's translation is to be made again, with fewer groups of accesses.
    pub fn share(&mut self, id: u32, sharing: Sharing) {
        let b = &mut self.blocks[id as usize];
        (b.sharing, b.native) = (sharing, crate::jit::NONE);
    }

    /// A block's translation is to be made again, without the page behind its own.
    pub fn keep_to_page(&mut self, id: u32) {
        let b = &mut self.blocks[id as usize];
        (b.one_page, b.native) = (true, crate::jit::NONE);
    }

    /// A block's translation is to be made again, for any RIP.
    pub fn make_movable(&mut self, id: u32) {
        let b = &mut self.blocks[id as usize];
        (b.anywhere, b.native) = (true, crate::jit::NONE);
    }

    /// A block's translation is to be made again, without guesses of pages.
    pub fn make_certain(&mut self, id: u32) {
        let b = &mut self.blocks[id as usize];
        (b.certain, b.native) = (true, crate::jit::NONE);
    }

    /// All translations are gone.
    pub fn forget_natives(&mut self) {
        for b in &mut self.blocks {
            b.native = crate::jit::NONE;
            b.heat = 0;
        }
        self.traces.clear();
        self.dropped.clear();
    }

    /// Enters a block of `insns` (not empty). Marks its frame.
    #[allow(clippy::too_many_arguments)]
    pub fn insert(
        &mut self,
        tlb: &mut crate::mmu::Tlb,
        mem: &mut Memory,
        at: u64,
        key: ModeKey,
        insns: &[Insn],
        end: End,
        pair: Option<super::pairs::Pair>,
        second: u32,
    ) -> u32 {
        if self.insns.len() + insns.len() > MAX_INSNS || self.blocks.len() + 1 > MAX_INSNS / 2 {
            self.clear();
            self.statistics.flushed += 1;
        }
        if self.slots.is_empty() {
            self.slots = vec![EMPTY; SLOTS];
        }
        self.statistics.decoded += 1;
        let id = self.blocks.len() as u32;
        let start = self.insns.len() as u32;
        self.insns.extend_from_slice(insns);
        let last = &insns[insns.len() - 1];
        let end_off = last.off + u16::from(last.len);
        let frame = (at / PAGE) as u32;
        let f = self.frames.entry(frame).or_default();
        f.used = true;
        self.blocks.push(Block {
            at,
            key,
            start,
            count: insns.len() as u16,
            end_off,
            second,
            end,
            sharing: Sharing::All,
            pair,
            next: [(0, NONE); 2],
            native: crate::jit::NONE,
            paid: 0,
            heat: 0,
            hot: HOT << f.rewritten,
            loops: false,
            one_page: false,
            certain: false,
            anywhere: false,
            again: Again::Open,
        });
        self.slots[slot_of(at)] = Slot { at, key, id };
        self.index.insert((at, key.0), id);
        f.granules |= granules((at % PAGE) as u16, end_off.min(PAGE as u16));
        f.blocks.push(id);
        tlb.mark_frame(mem, frame, mark::CODE);
        if second != NONE {
            let f = self.frames.entry(second).or_default();
            f.granules |= granules(0, end_off - PAGE as u16);
            f.blocks.push(id);
            tlb.mark_frame(mem, second, mark::CODE);
        }
        id
    }

    /// A store hit a frame with code: drops the blocks whose granules it touched.
    pub fn touched(&mut self, mem: &mut Memory, t: Touch) {
        let hit = granules(t.start, t.end);
        let Some(f) = self.frames.get_mut(&t.frame) else {
            mem.clear_marks(t.frame, mark::CODE);
            return;
        };
        if f.granules & hit == 0 {
            if f.granules == 0 {
                mem.clear_marks(t.frame, mark::CODE);
            }
            return;
        }
        let mut kept = 0;
        let (blocks, slots, index, statistics) =
            (&mut self.blocks, &mut self.slots, &mut self.index, &mut self.statistics);
        let (dropped, traces) = (&mut self.dropped, &mut self.traces);
        let lost = dropped.len();
        f.blocks.retain(|&id| {
            let b = &mut blocks[id as usize];
            if b.key == ModeKey::NEVER {
                return false;
            }
            let g = b.granules(t.frame);
            if g & hit == 0 {
                kept |= g;
                return true;
            }
            if b.native < crate::jit::REFUSED {
                dropped.push(b.native);
                b.native = crate::jit::NONE;
            }
            index.remove(&(b.at, b.key.0));
            b.key = ModeKey::NEVER;
            let s = &mut slots[slot_of(b.at)];
            if s.id == id {
                *s = EMPTY;
            }
            statistics.dropped += 1;
            for (head, native) in traces.remove(&id).unwrap_or_default() {
                let h = &mut blocks[head as usize];
                if h.native == native {
                    dropped.push(native);
                    (h.native, h.heat) = (crate::jit::NONE, 0);
                }
            }
            false
        });
        f.granules = kept;
        if dropped.len() > lost && std::mem::take(&mut f.used) {
            f.rewritten = (f.rewritten + 1).min(MAX_REWRITTEN);
        }
        if f.blocks.is_empty() {
            mem.clear_marks(t.frame, mark::CODE);
            if f.rewritten == 0 {
                self.frames.remove(&t.frame);
            }
        }
    }

    /// Drops everything. Marks stay on frames and go when next stored to.
    pub fn clear(&mut self) {
        self.insns.clear();
        self.blocks.clear();
        self.slots.fill(EMPTY);
        self.index.clear();
        self.frames.clear();
        self.crossings.clear();
        self.traces.clear();
        self.returns.clear();
        self.dropped.clear();
        self.emptied = true;
    }

    /// A crossing instruction with the same bytes, decoded before.
    pub fn crossing(&self, bytes: &[u8; 16], key: ModeKey, off: u16) -> Option<(Insn, End)> {
        let c = self.crossings.get(crossing_slot(bytes, off))?.as_ref()?;
        (c.bytes == *bytes && c.key == key && c.insn.off == off).then_some((c.insn, c.end))
    }

    /// Remembers a crossing instruction.
    pub fn keep_crossing(&mut self, bytes: [u8; 16], key: ModeKey, insn: Insn, end: End) {
        self.statistics.crossing += 1;
        if self.crossings.is_empty() {
            self.crossings = vec![None; 256];
        }
        self.crossings[crossing_slot(&bytes, insn.off)] = Some(Crossing { bytes, key, insn, end });
    }
}

fn crossing_slot(bytes: &[u8; 16], off: u16) -> usize {
    let v = u128::from_le_bytes(*bytes);
    let h = ((v as u64) ^ (v >> 64) as u64 ^ u64::from(off)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (h >> 56) as usize
}

/// The 64-byte granules that bytes `start..end` of a page touch.
fn granules(start: u16, end: u16) -> u64 {
    if end <= start {
        return 0;
    }
    let (first, last) = (start >> 6 & 63, (end - 1) >> 6 & 63);
    (!0 << first) & (!0 >> (63 - last))
}

/// What decoding yields: the handler and whether it ends the block.
#[derive(Clone, Copy)]
pub struct Choice {
    /// Runs the instruction.
    pub handler: Handler,
    /// Whether it is the last of its block.
    pub end: End,
    /// Writes it down as micro-operations.
    pub build: Build,
}
