//! Which blocks are translated as one: a *trace* goes on from a hot block over its branch to whatever ran after it, as
//! long as that is in the same page and the likelier way. Its parts keep their own entries in [`Blocks`]; the translation is
//! dropped with any of them.
//!
//! A block that has a translation of its own ends the trace, which then links to it: so a loop is one trace that goes
//! back to its own start, and code that many ways lead to is not copied into each. A short loop is unrolled.

use super::{
    Direct,
    blocks::{Blocks, NONE},
};
use crate::{
    decode,
    insn::Insn,
    jit::{self, Turn},
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
pub(super) struct Path {
    /// Instructions in the order in which they run.
    pub insns: Vec<Insn>,
    /// The branches among them.
    pub turns: Vec<Turn>,
    /// Blocks after the first, with the numbers of their first instructions.
    pub parts: Vec<(u32, u16)>,
    /// How the last one ends.
    pub end: End,
}

impl Path {
    /// It is a loop whose last branch, `closing`, goes back to its start: repeats it as often as is worth while.
    fn unroll(&mut self, closing: Turn) {
        let (insns, turns) = (self.insns.clone(), self.turns.clone());
        let times = (MOST_UNROLLED / insns.len()).min(MOST_TURNS);
        for k in 1..times {
            let from = (k * insns.len()) as u16;
            self.turns.push(Turn { n: from - 1, ..closing });
            self.turns.extend(turns.iter().map(|t| Turn { n: t.n + from, ..*t }));
            self.insns.extend_from_slice(&insns);
        }
    }
}

/// Where a direct jump at the end of a block may lead in its page: the next instruction, if it is conditional, and its target.
#[derive(Clone, Copy)]
struct Ways {
    next: Option<u16>,
    target: Option<u16>,
    /// Neither is where the block certainly ends up.
    both: bool,
}

fn ways(i: &Insn) -> Option<Ways> {
    let code = i.code();
    let conditional = code.is_jcc_short_or_near();
    let direct = conditional || code.is_jmp_short_or_near() || code.is_call_near();
    // Elsewhere the target is cut to 16 bits.
    if !direct || i.size < i.code_width() || i.code_width() < 4 {
        return None;
    }
    let after = i64::from(i.off) + i64::from(i.len);
    let within = |off: i64| (0..PAGE as i64).contains(&off).then_some(off as u16);
    let target = within(after + jit::displacement(i));
    if conditional {
        // A way out of the page is a link of its own kind: such a branch ends the trace.
        return Some(Ways { next: Some(within(after)?), target: Some(target?), both: true });
    }
    Some(Ways { next: None, target: Some(target?), both: false })
}

impl Direct<'_> {
    /// What to translate for the hot block `id`.
    pub(super) fn trace(&mut self, blocks: &mut Blocks, id: u32) -> Path {
        let b = blocks.block(id);
        let (page, key) = (b.at / PAGE * PAGE, b.key);
        let mut path =
            Path { insns: blocks.insns(b).to_vec(), turns: Vec::new(), parts: Vec::new(), end: b.end };
        if !key.code_flat() || b.second != NONE {
            return path;
        }
        while path.end == End::Jump && path.parts.len() + 1 < MOST_PARTS {
            let Some(last) = path.insns.last() else { break };
            let Some(w) = ways(last) else { break };
            let n = (path.insns.len() - 1) as u16;
            let b = blocks.block(id);
            if b.loops && w.target == Some((b.at % PAGE) as u16) {
                // Its translation is made again.
                path.unroll(Turn { n, taken: true, exit: w.next.unwrap_or(0) });
                break;
            }
            let least = blocks.block(id).heat / 2;
            let Some((to, taken)) = self.likelier(blocks, page, w, least) else { break };
            let exit = if taken { w.next } else { w.target };
            let turn = Turn { n, taken, exit: exit.unwrap_or(0) };
            let left = exit.and_then(|off| blocks.find(page + u64::from(off), key));
            let left = left.map_or(0, |id| blocks.block(id).heat);
            if to == id && left <= blocks.block(id).heat / OFTEN {
                if path.parts.is_empty() {
                    blocks.set_loop(id);
                }
                path.unroll(turn);
                break;
            }
            let part = blocks.block(to);
            let seen = to == id || path.parts.iter().any(|p| p.0 == to);
            let long = path.insns.len() + usize::from(part.count) > MOST_INSNS;
            let stops = blocks.insns(part).iter().any(|i| self.x.derived.watch.stops_in(i.off));
            if seen || long || stops || part.key != key || part.second != NONE {
                break;
            }
            path.turns.push(turn);
            path.parts.push((to, n + 1));
            path.insns.extend_from_slice(blocks.insns(part));
            path.end = part.end;
        }
        path
    }

    /// The block that ran more often of those that a branch leads to, if it has no translation and ran at least `least` times;
    /// and whether the branch is taken there.
    fn likelier(&mut self, blocks: &mut Blocks, page: u64, w: Ways, least: u16) -> Option<(u32, bool)> {
        if self.x.derived.eager {
            return self.any(blocks, page, w);
        }
        let key = self.key;
        let mut look = |off: Option<u16>| {
            let id = blocks.find(page + u64::from(off?), key)?;
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
    fn any(&mut self, blocks: &mut Blocks, page: u64, w: Ways) -> Option<(u32, bool)> {
        let place = w.target.unwrap_or(0) ^ w.next.unwrap_or(0);
        if place.is_multiple_of(5) {
            return None;
        }
        let taken = !w.both || place.is_multiple_of(3);
        let at = page + u64::from(if taken { w.target? } else { w.next? });
        let id = match blocks.find(at, self.key) {
            Some(id) => id,
            // Not if that would drop all blocks.
            None if !blocks.has_room() => return None,
            None => decode::block(&mut self.x, blocks, at, self.key)?,
        };
        Some((id, taken))
    }
}
