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
    jit::{self, Hop, Jit, Turn, Way},
    memory::PAGE,
    ops::End,
};

/// Most instructions of a trace.
const MOST_INSNS: usize = 96;
/// Most blocks of a trace.
const MOST_PARTS: usize = 24;
/// Of so many blocks at most around one where much time is spent traces are chosen anew.
const MOST_AROUND: usize = 64;
/// Most instructions from a call to its return that are copied into a trace though they have translations of their own.
const MOST_COPIED: usize = 48;
/// Most instructions of a function's first block that is copied behind its call, where more isn't.
const MOST_BEGUN: usize = 12;
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
    /// Where the return at its end is expected to lead, in bytes from the start of the page that it is in.
    pub returns: Option<i32>,
    /// Where calls on the way return to, in bytes from the start of the first page.
    calls: Vec<i64>,
    /// From so many of them on code is copied that has translations of its own; 0: it isn't.
    copies: usize,
    /// The pages that it begins in.
    first: Option<Pages>,
    /// It goes on in other pages than these.
    hopped: bool,
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

/// The page that a trace is in, and the one behind it.
#[derive(Clone, Copy)]
struct Pages {
    /// Bytes from the start of the trace's first page to its start.
    by: i64,
    /// RIP of the trace's first page.
    rip: u64,
    /// Places in RAM of the first byte of the first, and of the one behind it, if that may be gone on in.
    at: [Option<u64>; 2],
}

impl Pages {
    /// The place in RAM of what is `off` bytes behind the start of the first.
    fn place(&self, off: u16) -> Option<u64> {
        Some(self.at.get(usize::from(off / PAGE as u16))?.as_ref()? + u64::from(off) % PAGE)
    }

    /// What a jump to another of a trace's pages is.
    fn hop(&self, there: Pages, path: &Path) -> Option<Hop> {
        let (pages, by) = ((there.by - self.by) as i32, there.by as i32);
        (pages != 0).then_some(Hop { pages, by, at: there.at[0]?, first: !path.hopped })
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

fn is_call(i: &Insn) -> bool {
    i.code().is_call_near() && i.size >= i.code_width() && i.code_width() >= 4
}

fn is_jump(i: &Insn) -> bool {
    i.code().is_jmp_short_or_near() && i.size >= i.code_width() && i.code_width() >= 4
}

/// Whether it is a return to code of its own width.
pub(super) fn is_return(i: &Insn) -> bool {
    use iced_x86::Code::*;
    match i.code() {
        Retnd | Retnd_imm16 => i.code_width() == 4,
        Retnq | Retnq_imm16 => i.code_width() == 8,
        _ => false,
    }
}

/// Where a direct jump leads, in bytes from the start of the trace's first page.
fn target(i: &Insn, pages: Pages) -> i64 {
    pages.by + i64::from(i.off) + i64::from(i.len) + jit::displacement(i)
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
        let path = self.path(blocks, id, rip);
        if path.back
            && let Some((top, by)) = path.top
            && blocks.block(top).native == jit::NONE
        {
            let rip = rip.wrapping_add(by);
            let better = self.path(blocks, top, rip);
            if better.back && better.top.is_none() {
                return (top, rip, better);
            }
        }
        (id, rip, path)
    }

    /// How `id` goes on. Where a loop's translation has been given up, blocks of it that have been translated for themselves since,
    /// because they were entered in its middle, are copied.
    fn path(&mut self, blocks: &mut Blocks, id: u32, rip: u64) -> Path {
        if blocks.is_fine(id) && !self.x.derived.eager {
            let path = self.trace_from(blocks, id, rip, true);
            if path.back {
                return path;
            }
            blocks.reopen(id);
        }
        self.trace_from(blocks, id, rip, false)
    }

    fn trace_from(&mut self, blocks: &mut Blocks, id: u32, rip: u64, again: bool) -> Path {
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
            returns: None,
            calls: Vec::new(),
            copies: 0,
            first: None,
            hopped: false,
        };
        if !b.key.code_flat() {
            return path;
        }
        let start = b.at % PAGE;
        let mut pages = self.pages(b, rip);
        path.first = Some(pages);
        let (certain, page, bold) = (b.certain, pages.rip, again || blocks.tried_again(id));
        let guess = |blocks: &Blocks, id| {
            let rip = blocks.returns_to(id).filter(|_| bold && !certain)?;
            i32::try_from(rip.wrapping_sub(page) as i64).ok().map(i64::from)
        };
        let placed = !b.anywhere && jit::is_placed(self.key, page);
        path.calls.extend(guess(blocks, id));
        let callers = path.calls.len();
        // What it would be without the second page.
        let mut within = None;
        let mut back = false;
        let most = if bold { MOST_PARTS } else { MOST_PARTS / 2 };
        while path.parts.len() + 1 < most {
            let n = (path.insns.len() - 1) as u16;
            let last = path.insns[usize::from(n)];
            let next = last.off + u16::from(last.len);
            let (heat, loops) = (blocks.block(id).heat, blocks.block(id).loops);
            let mut hop = None;
            let (to, way) = match path.end {
                End::Jump if is_return(&last) => {
                    // Where its call says, or where it has led before.
                    let end = path.parts.last().map_or(id, |p| p.0);
                    let Some(to) = path.calls.pop().or_else(|| guess(blocks, end)) else { break };
                    if path.calls.len() < path.copies {
                        path.copies = 0;
                    }
                    let Some((there, off)) = self.page_of(&path, pages, to) else { break };
                    let way = (to - pages.by) as i32;
                    path.returns = Some(way);
                    let Some(part) = self.look(blocks, there, off) else { break };
                    let b = blocks.block(part);
                    let free = b.native == jit::NONE && b.heat >= heat / 2 && there.by == pages.by;
                    if !bold && !free && !self.x.derived.eager {
                        break;
                    }
                    hop = pages.hop(there, &path);
                    pages = there;
                    (part, Some(Way::Back(way)))
                }
                End::Jump if is_call(&last) && target(&last, pages) != start as i64 => {
                    let Some((there, to, copy)) = self.called(blocks, &path, pages, &last, (heat / 2, bold))
                    else {
                        break;
                    };
                    path.calls.push(pages.by + i64::from(next));
                    if copy && path.copies == 0 {
                        path.copies = path.calls.len();
                    }
                    hop = pages.hop(there, &path);
                    pages = there;
                    (to, Some(Way::Target(0)))
                }
                // A call in the last place.
                End::Jump
                    if bold
                        && is_jump(&last)
                        && path.copies == 0
                        && !path.calls.is_empty()
                        && let Some((there, to, true)) =
                            self.called(blocks, &path, pages, &last, (heat, bold)) =>
                {
                    path.copies = path.calls.len();
                    hop = pages.hop(there, &path);
                    pages = there;
                    (to, Some(Way::Target(0)))
                }
                End::Jump => {
                    let Some(w) = ways(&last, pages) else { break };
                    let own = (pages.by == 0).then_some(start as u16);
                    if loops && w.target.is_some() && w.target == own {
                        // Its translation is made again.
                        let way = Way::Target(w.next.unwrap_or(0));
                        path.unroll(Some(Turn { n, way, hop: None }));
                        back = true;
                        break;
                    }
                    back = w.target.is_some() && w.target == own;
                    let least = if path.copies > 0 || again { None } else { Some(heat / 2) };
                    let Some((to, taken)) = self.likelier(blocks, pages, w, least) else { break };
                    let exit = if taken { w.next } else { w.target };
                    let off = exit.unwrap_or(0);
                    let way = if taken { Way::Target(off) } else { Way::Next(off) };
                    let left = exit.and_then(|off| blocks.find(pages.place(off)?, self.key));
                    let left = left.map_or(0, |id| blocks.block(id).heat);
                    if to == id && left <= blocks.block(id).heat / OFTEN {
                        if path.parts.is_empty() {
                            blocks.set_loop(id);
                        }
                        path.unroll(Some(Turn { n, way, hop: None }));
                        back = true;
                        break;
                    }
                    (to, Some(way))
                }
                // It stops before an instruction that lies across the page's end, or at that.
                End::No if pages.at[1].is_some() && next <= PAGE as u16 => {
                    let Some(to) = self.behind(blocks, pages, next, heat / 2, again) else { break };
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
            let copied = path.copies > 0;
            let seen = to == id || !copied && path.parts.iter().any(|p| p.0 == to);
            let long = path.insns.len() + usize::from(part.count) > MOST_INSNS;
            let stops = blocks.insns(part).iter().any(|i| self.x.derived.watch.stops_in(i.off));
            let here = Some(part.at / PAGE * PAGE) == pages.at[0];
            let second = if here { part.second } else { (part.at / PAGE) as u32 };
            let strange = second != NONE && Some(u64::from(second) * PAGE) != pages.at[1];
            if seen || long || stops || part.key != self.key || strange {
                break;
            }
            if hop.is_some() {
                // What is behind the page is not looked for any more.
                (path.hopped, pages.at[1]) = (true, None);
            }
            let turn = way.map(|way| Turn { n, way, hop });
            let spans = second != NONE || turn.is_some_and(|t| t.exit() >= Some(PAGE as u16));
            if spans && path.second == NONE {
                within = Some(path.clone());
                path.second = (pages.at[1].unwrap_or(0) / PAGE) as u32;
            }
            let off = part.at % PAGE + if here { 0 } else { PAGE };
            let taken = matches!(way, Some(Way::Target(_)));
            if taken
                && pages.by == 0
                && path.calls.len() <= callers
                && off < u64::from(last.off)
                && path.top.is_none()
            {
                path.top = Some((to, off.wrapping_sub(start)));
            }
            path.turns.extend(turn);
            path.returns = None;
            path.append(to, blocks.insns(part), part.end, if here { 0 } else { PAGE as u16 });
            back = false;
        }
        path.back = back;
        match within {
            // To look for the second page costs as much as a jump to it: only a loop does it once for several turns. What is made for
            // one RIP compares the number of the space's code mapping alone.
            Some(within) if !(back || self.x.derived.eager || bold && placed) => within,
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
        let key = b.key;
        let mut around = vec![(id, self.x.cpu.rip)];
        let mut k = 0;
        while let Some(&(id, rip)) = around.get(k)
            && around.len() < MOST_AROUND
        {
            k += 1;
            let b = blocks.block(id);
            let Some(last) = blocks.insns(b).last() else { continue };
            let after = (rip & !(PAGE - 1)).wrapping_add(u64::from(last.off) + u64::from(last.len));
            let direct = last.code().is_jcc_short_or_near() || is_call(last) || is_jump(last);
            let target = direct.then(|| after.wrapping_add_signed(jit::displacement(last)));
            let returns = blocks.returns_to(id).filter(|_| is_return(last));
            for rip in [target, Some(after), returns].into_iter().flatten() {
                let at = self.x.derived.tlb.hit_execute(rip).map(|at| at as u64);
                let next = at.and_then(|at| blocks.find(at, key));
                let fits = |id: &u32| !around.iter().any(|a| a.0 == *id);
                around.extend(next.filter(fits).map(|id| (id, rip)));
            }
        }
        for (id, _) in around {
            if let Some(native) = blocks.cool(id) {
                j.drop_native(native);
            }
        }
    }

    /// The pages that a trace from `b` on may lie in, which is at `rip`.
    fn pages(&mut self, b: &Block, rip: u64) -> Pages {
        let here = b.at / PAGE * PAGE;
        let next = (rip | (PAGE - 1)).wrapping_add(1);
        let wraps = next == 0 || !b.key.code64() && next >> 32 != 0;
        let beyond = if b.one_page || wraps || self.x.derived.watch.has_code() {
            None
        } else if b.second != NONE {
            Some(u64::from(b.second) * PAGE)
        } else {
            // The same page twice would leave open which of both a block is in.
            self.x.derived.tlb.find_execute(next).map(|at| at as u64).filter(|&at| at != here)
        };
        Pages { by: 0, rip: rip & !(PAGE - 1), at: [Some(here), beyond] }
    }

    /// The page of what is `to` bytes from the start of the trace's first, and where in there that is; the trace is in `pages`.
    fn page_of(&mut self, path: &Path, pages: Pages, to: i64) -> Option<(Pages, u16)> {
        let first = path.first?;
        // As far as one jump leads.
        let near = |by: i64| i32::try_from(by - pages.by).is_ok() && i32::try_from(to - pages.by).is_ok();
        for p in [pages, first].into_iter().filter(|p| near(p.by)) {
            let off = to - p.by;
            let end = if path.second != NONE && p.at[1].is_some() { 2 * PAGE } else { PAGE };
            if (0..end as i64).contains(&off) {
                return Some((p, off as u16));
            }
        }
        let by = i64::from(i32::try_from(to).ok()?) & !(PAGE as i64 - 1);
        let rip = first.rip.wrapping_add_signed(by);
        // Not around the ends of what addresses there are, nor from what spaces share to what they don't.
        let top = if self.key.code64() { (rip ^ first.rip) >> 46 } else { rip >> 32 };
        let tlb = &mut self.x.derived.tlb;
        let halves = tlb.is_shared(self.x.cpu, rip) != tlb.is_shared(self.x.cpu, first.rip);
        if !near(by) || path.second != NONE || self.x.derived.watch.has_code() || top != 0 || halves {
            return None;
        }
        let at = self.x.derived.tlb.find_execute(rip)? as u64;
        Some((Pages { by, rip: first.rip, at: [Some(at), None] }, (to - by) as u16))
    }

    /// The block at `off`.
    fn look(&mut self, blocks: &mut Blocks, pages: Pages, off: u16) -> Option<u32> {
        let at = pages.place(off)?;
        if self.x.derived.eager { self.made(blocks, pages, at) } else { blocks.find(at, self.key) }
    }

    /// What a call in the middle of a trace goes on with, and whether that is a copy of code that may have a translation of its own:
    /// that is worth while where it soon returns.
    fn called(
        &mut self,
        blocks: &mut Blocks,
        path: &Path,
        pages: Pages,
        i: &Insn,
        (least, bold): (u16, bool),
    ) -> Option<(Pages, u32, bool)> {
        let to = target(i, pages);
        let (there, off) = self.page_of(path, pages, to)?;
        let id = self.look(blocks, there, off)?;
        if self.x.derived.eager {
            return (!off.is_multiple_of(5)).then_some((there, id, off.is_multiple_of(2)));
        }
        if bold
            && let Some(more) = self.comes_back(blocks, path, there, id)
            && path.insns.len() + more <= MOST_INSNS
        {
            return Some((there, id, true));
        }
        let b = blocks.block(id);
        let free = b.native == jit::NONE && b.heat >= least && path.copies == 0 && there.by == pages.by;
        // How a function begins is little more than what it takes to go there.
        let short = b.second == NONE && usize::from(b.count) <= MOST_BEGUN && b.native != jit::REFUSED;
        (free || bold && short && path.copies == 0 && is_call(i)).then_some((there, id, false))
    }

    /// How many instructions run before the code that begins with block `id` returns, if those are few.
    fn comes_back(&mut self, blocks: &mut Blocks, path: &Path, pages: Pages, id: u32) -> Option<usize> {
        let (mut id, mut pages, mut calls, mut n) = (id, pages, Vec::new(), 0);
        for _ in 0..MOST_PARTS {
            let b = blocks.block(id);
            n += usize::from(b.count);
            if n > MOST_COPIED || b.second != NONE || b.native == jit::REFUSED || b.end != End::Jump {
                return None;
            }
            let last = *blocks.insns(b).last()?;
            if is_return(&last) {
                let Some(to) = calls.pop() else { return Some(n) };
                let (there, off) = self.page_of(path, pages, to)?;
                (id, pages) = (self.look(blocks, there, off)?, there);
            } else if is_call(&last) {
                calls.push(pages.by + i64::from(last.off) + i64::from(last.len));
                let (there, off) = self.page_of(path, pages, target(&last, pages))?;
                (id, pages) = (self.look(blocks, there, off)?, there);
            } else {
                id = self.likelier(blocks, pages, ways(&last, pages)?, None)?.0;
            }
        }
        None
    }

    /// The block at `off`, behind one that stops where the page does, if it may be gone on with; in a copy (`any`) it may have a translation.
    fn behind(&mut self, blocks: &mut Blocks, pages: Pages, off: u16, least: u16, any: bool) -> Option<u32> {
        let at = pages.place(off)?;
        if !self.x.derived.eager {
            let id = blocks.find(at, self.key)?;
            let b = blocks.block(id);
            return (any || b.native == jit::NONE && b.heat >= least).then_some(id);
        }
        self.made(blocks, pages, at)
    }

    /// The block that ran more often of those that a branch leads to, and whether the branch is taken there: if it has no translation
    /// and ran at least `least` times, or in a copy (`None`), where it may have. Where neither way is much likelier it is none, but where
    /// much time is spent.
    fn likelier(
        &mut self,
        blocks: &mut Blocks,
        pages: Pages,
        w: Ways,
        least: Option<u16>,
    ) -> Option<(u32, bool)> {
        if self.x.derived.eager {
            return self.any(blocks, pages, w);
        }
        let key = self.key;
        let mut look = |off: Option<u16>| {
            let id = blocks.find(pages.place(off?)?, key)?;
            let b = blocks.block(id);
            // A loop's counts for nothing: its translation was made before others' were made again, and stays.
            let heat = if blocks.is_fine(id) { u16::MAX } else { b.heat };
            Some((id, heat, b.native == jit::NONE))
        };
        let (next, target) = (look(w.next), look(w.target));
        let heat = |x: Option<(u32, u16, bool)>| x.map_or(0, |x| x.1);
        let taken = heat(target) > heat(next);
        // Where both are about as likely, two links cost less than a way out of the trace's middle, as a rule.
        let other = if taken { heat(next) } else { heat(target) };
        let (id, heat, free) = if taken { target? } else { next? };
        let may = least.is_none_or(|least| free && heat >= least);
        let alike = blocks.tried_again(id);
        (may && (alike || heat >= other.saturating_mul(2))).then_some((id, taken))
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
