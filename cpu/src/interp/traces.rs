//! Which blocks are translated as one: a *trace* goes on from a hot block over its branch to whatever ran after it, as
//! long as that is in the same page and the likelier way. Its parts keep their own entries in [`Blocks`]; the translation is
//! dropped with any of them.
//!
//! A loop may go on in the page behind the first: its translation looks, when it is entered, for that page being the same
//! still. Offsets in such a trace are all from the start of the first page.
//!
//! A block that has a translation of its own ends the trace, which then links to it: so a loop is one trace that goes
//! back to its own start, and code that many ways lead to is not copied into each. A short loop is unrolled.

use super::{
    Direct,
    blocks::{Block, Blocks, NONE},
};
use crate::{
    decode,
    insn::Insn,
    jit::{self, Jit, Turn},
    memory::PAGE,
    ops::End,
};

/// Most instructions of a trace.
const MOST_INSNS: usize = 96;
/// Most blocks of a trace.
const MOST_PARTS: usize = 12;
/// A loop that has no more instructions than half of these is unrolled to as many at most: what each turn pays for its
/// budget and for going back is then paid once for several.
const MOST_UNROLLED: usize = 40;
/// Most turns of an unrolled loop.
const MOST_TURNS: usize = 8;
/// A loop is unrolled if its head ran this many times as often as what follows it.
const OFTEN: u16 = 8;

/// A block and where it goes on.
#[derive(Clone)]
pub(super) struct Path {
    /// Instructions in the order in which they run.
    pub insns: Vec<Insn>,
    /// The branches among them.
    pub turns: Vec<Turn>,
    /// Blocks after the first, with the numbers of their first instructions.
    pub parts: Vec<(u32, u16)>,
    /// How the last one ends.
    pub end: End,
    /// The frame that it goes on in behind the page's end, or [`NONE`].
    pub second: u32,
    /// It goes back to its own start.
    pub back: bool,
    /// The block that a backward jump in its middle leads to, and its distance in bytes from the first.
    top: Option<(u32, u64)>,
}

impl Path {
    /// It is a loop that goes back to its start, by the branch `closing` if its end isn't just before that: repeats it as often
    /// as is worth while.
    fn unroll(&mut self, closing: Option<Turn>) {
        let (insns, turns) = (self.insns.clone(), self.turns.clone());
        let times = (MOST_UNROLLED / insns.len()).min(MOST_TURNS);
        for k in 1..times {
            let from = (k * insns.len()) as u16;
            self.turns.extend(closing.map(|t| Turn { n: from - 1, ..t }));
            self.turns.extend(turns.iter().map(|t| Turn { n: t.n + from, ..*t }));
            self.insns.extend_from_slice(&insns);
        }
    }

    /// Appends a block, whose instructions are `by` bytes further from the start of the first page than from that of their own.
    fn append(&mut self, id: u32, insns: &[Insn], end: End, by: u16) {
        self.parts.push((id, self.insns.len() as u16));
        self.insns.extend(insns.iter().map(|i| Insn { off: i.off + by, ..*i }));
        self.end = end;
    }
}

/// The pages of a trace.
#[derive(Clone, Copy)]
struct Pages {
    /// Places in RAM of the first byte of the first, and of the one behind it, if that may be gone on in.
    at: [Option<u64>; 2],
}

impl Pages {
    /// The place in RAM of what is `off` bytes behind the start of the first.
    fn place(&self, off: u16) -> Option<u64> {
        Some(self.at.get(usize::from(off / PAGE as u16))?.as_ref()? + u64::from(off) % PAGE)
    }

    /// Whether a way leads there.
    fn has(&self, off: i64) -> bool {
        let end = if self.at[1].is_some() { 2 * PAGE } else { PAGE };
        (0..end as i64).contains(&off)
    }
}

/// Where a direct jump at the end of a block may lead in its pages: the next instruction, if it is conditional, and its target.
#[derive(Clone, Copy)]
struct Ways {
    next: Option<u16>,
    target: Option<u16>,
    /// Neither is where the block certainly ends up.
    both: bool,
}

fn ways(i: &Insn, pages: Pages) -> Option<Ways> {
    let code = i.code();
    let conditional = code.is_jcc_short_or_near();
    let direct = conditional || code.is_jmp_short_or_near() || code.is_call_near();
    // Elsewhere the target is cut to 16 bits.
    if !direct || i.size < i.code_width() || i.code_width() < 4 {
        return None;
    }
    let after = i64::from(i.off) + i64::from(i.len);
    let within = |off: i64| pages.has(off).then_some(off as u16);
    let target = within(after + jit::displacement(i));
    if conditional {
        // A way out of the pages is a link of its own kind: such a branch ends the trace.
        return Some(Ways { next: Some(within(after)?), target: Some(target?), both: true });
    }
    Some(Ways { next: None, target: Some(target?), both: false })
}

impl Direct<'_> {
    /// What to translate for the hot block `id`, which is at RIP: the block to begin with, its RIP and how it goes on.
    ///
    /// A loop that is entered in its middle gets hot there first. It is better begun where it goes back to: of what its body makes little
    /// is needed there, as a rule not even the flags.
    pub(super) fn trace(&mut self, blocks: &mut Blocks, id: u32) -> (u32, u64, Path) {
        let rip = self.x.cpu.rip;
        let path = self.trace_from(blocks, id, rip);
        if path.back
            && let Some((top, by)) = path.top
            && blocks.block(top).native == jit::NONE
        {
            let rip = rip.wrapping_add(by);
            let better = self.trace_from(blocks, top, rip);
            if better.back && better.top.is_none() {
                return (top, rip, better);
            }
        }
        (id, rip, path)
    }

    fn trace_from(&mut self, blocks: &mut Blocks, id: u32, rip: u64) -> Path {
        let b = blocks.block(id);
        let insns = blocks.insns(b).to_vec();
        let mut path = Path {
            insns,
            turns: Vec::new(),
            parts: Vec::new(),
            end: b.end,
            second: b.second,
            back: false,
            top: None,
        };
        if !b.key.code_flat() {
            return path;
        }
        let pages = self.pages(b, rip);
        let start = b.at % PAGE;
        // What it would be without the second page.
        let mut within = None;
        let mut back = false;
        while path.parts.len() + 1 < MOST_PARTS {
            let n = (path.insns.len() - 1) as u16;
            let last = path.insns[usize::from(n)];
            let next = last.off + u16::from(last.len);
            let b = blocks.block(id);
            let (to, turn) = match path.end {
                End::Jump => {
                    let Some(w) = ways(&last, pages) else { break };
                    if b.loops && w.target == Some((b.at % PAGE) as u16) {
                        // Its translation is made again.
                        path.unroll(Some(Turn { n, taken: true, exit: w.next.unwrap_or(0) }));
                        back = true;
                        break;
                    }
                    back = w.target == Some((b.at % PAGE) as u16);
                    let Some((to, taken)) = self.likelier(blocks, pages, w, b.heat / 2) else { break };
                    let exit = if taken { w.next } else { w.target };
                    let turn = Turn { n, taken, exit: exit.unwrap_or(0) };
                    let left = exit.and_then(|off| blocks.find(pages.place(off)?, self.key));
                    let left = left.map_or(0, |id| blocks.block(id).heat);
                    if to == id && left <= blocks.block(id).heat / OFTEN {
                        if path.parts.is_empty() {
                            blocks.set_loop(id);
                        }
                        path.unroll(Some(turn));
                        back = true;
                        break;
                    }
                    (to, Some(turn))
                }
                // It stops before an instruction that lies across the page's end, or at that.
                End::No if pages.at[1].is_some() && next <= PAGE as u16 => {
                    let Some(to) = self.behind(blocks, pages, next, b.heat / 2) else { break };
                    if to == id {
                        path.unroll(None);
                        back = true;
                        break;
                    }
                    (to, None)
                }
                _ => break,
            };
            let part = blocks.block(to);
            let seen = to == id || path.parts.iter().any(|p| p.0 == to);
            let long = path.insns.len() + usize::from(part.count) > MOST_INSNS;
            let stops = blocks.insns(part).iter().any(|i| self.x.derived.watch.stops_in(i.off));
            let first = Some(part.at / PAGE * PAGE) == pages.at[0];
            let second = if first { part.second } else { (part.at / PAGE) as u32 };
            let strange = second != NONE && Some(u64::from(second) * PAGE) != pages.at[1];
            if seen || long || stops || part.key != self.key || strange {
                break;
            }
            let spans = second != NONE || turn.is_some_and(|t| t.exit >= PAGE as u16);
            if spans && path.second == NONE {
                within = Some(path.clone());
                path.second = (pages.at[1].unwrap_or(0) / PAGE) as u32;
            }
            let off = part.at % PAGE + if first { 0 } else { PAGE };
            if turn.is_some_and(|t| t.taken) && off < u64::from(last.off) && path.top.is_none() {
                path.top = Some((to, off.wrapping_sub(start)));
            }
            path.turns.extend(turn);
            path.append(to, blocks.insns(part), part.end, if first { 0 } else { PAGE as u16 });
            back = false;
        }
        path.back = back;
        match within {
            // To look for the second page costs as much as a jump to it: only a loop does it once for several turns.
            Some(within) if !back && !self.x.derived.eager => within,
            _ => path,
        }
    }

    /// The block `id` is one of those where much time is spent: its translation and those around it are made again. The first ones
    /// were made after a dozen runs, the first of a loop as a rule, which often aren't as the later ones.
    pub(super) fn reshape(&mut self, blocks: &mut Blocks, j: &mut Jit, id: u32) {
        let b = blocks.block(id);
        if !b.key.code_flat() {
            return;
        }
        let (key, pages) = (b.key, self.pages(b, self.x.cpu.rip));
        let mut around = vec![id];
        let mut k = 0;
        while let Some(&id) = around.get(k)
            && around.len() < MOST_PARTS
        {
            k += 1;
            let b = blocks.block(id);
            let beyond = Some(b.at / PAGE * PAGE) != pages.at[0];
            let Some(last) = blocks.insns(b).last() else { continue };
            let last = &Insn { off: last.off + if beyond { PAGE as u16 } else { 0 }, ..*last };
            let w = ways(last, pages).unwrap_or(Ways { next: None, target: None, both: false });
            let after = last.off + u16::from(last.len);
            for off in [w.target, w.next, Some(after)].into_iter().flatten() {
                let next = pages.place(off).and_then(|at| blocks.find(at, key));
                around.extend(
                    next.filter(|id| blocks.block(*id).native < jit::REFUSED && !around.contains(id)),
                );
            }
        }
        for id in around {
            if let Some(native) = blocks.cool(id) {
                j.drop_native(native);
            }
        }
    }

    /// The pages that a trace from `b` on may lie in, which is at `rip`.
    fn pages(&self, b: &Block, rip: u64) -> Pages {
        let here = b.at / PAGE * PAGE;
        let next = (rip | (PAGE - 1)).wrapping_add(1);
        let wraps = next == 0 || !b.key.code64() && next >> 32 != 0;
        let beyond = if b.one_page || wraps || self.x.derived.watch.has_code() {
            None
        } else if b.second != NONE {
            Some(u64::from(b.second) * PAGE)
        } else {
            // The same page twice would leave open which of both a block is in.
            self.x.derived.tlb.hit_execute(next).map(|at| at as u64).filter(|&at| at != here)
        };
        Pages { at: [Some(here), beyond] }
    }

    /// The block at `off`, behind one that stops where the page does, if it may be gone on with.
    fn behind(&mut self, blocks: &mut Blocks, pages: Pages, off: u16, least: u16) -> Option<u32> {
        let at = pages.place(off)?;
        if !self.x.derived.eager {
            let id = blocks.find(at, self.key)?;
            let b = blocks.block(id);
            return (b.native == jit::NONE && b.heat >= least).then_some(id);
        }
        self.made(blocks, pages, at)
    }

    /// The block that ran more often of those that a branch leads to, if it has no translation and ran at least `least` times;
    /// and whether the branch is taken there.
    fn likelier(&mut self, blocks: &mut Blocks, pages: Pages, w: Ways, least: u16) -> Option<(u32, bool)> {
        if self.x.derived.eager {
            return self.any(blocks, pages, w);
        }
        let key = self.key;
        let mut look = |off: Option<u16>| {
            let id = blocks.find(pages.place(off?)?, key)?;
            let b = blocks.block(id);
            Some((id, b.heat, b.native == jit::NONE))
        };
        let (next, target) = (look(w.next), look(w.target));
        let heat = |x: Option<(u32, u16, bool)>| x.map_or(0, |x| x.1);
        let taken = heat(target) > heat(next);
        // Where both are about as likely, two links cost less than a way out of the trace's middle.
        let other = if taken { heat(next) } else { heat(target) };
        let (id, heat, free) = if taken { target? } else { next? };
        (free && heat >= least && heat >= 2 * other).then_some((id, taken))
    }

    /// For tests, which run code once: one of both ways, as the place of the branch has it, or none.
    fn any(&mut self, blocks: &mut Blocks, pages: Pages, w: Ways) -> Option<(u32, bool)> {
        let place = w.target.unwrap_or(0) ^ w.next.unwrap_or(0);
        if place.is_multiple_of(5) {
            return None;
        }
        let taken = !w.both || place.is_multiple_of(3);
        let at = pages.place(if taken { w.target? } else { w.next? })?;
        Some((self.made(blocks, pages, at)?, taken))
    }

    /// For tests: the block at a place in RAM, decoded if need be.
    fn made(&mut self, blocks: &mut Blocks, pages: Pages, at: u64) -> Option<u32> {
        if let Some(id) = blocks.find(at, self.key) {
            return Some(id);
        }
        // Not if that would drop all blocks.
        if !blocks.has_room() {
            return None;
        }
        decode::block(&mut self.x, blocks, at, self.key).or_else(|| {
            let second = (pages.at[1].filter(|_| Some(at / PAGE * PAGE) == pages.at[0])? / PAGE) as u32;
            decode::crossing(&mut self.x, blocks, at, self.key, second, true)
        })
    }
}
