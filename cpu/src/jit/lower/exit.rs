//! Entering and leaving a block: budget, links, cold paths, calls of shared Rust code.

use super::recipe::Recipe;
use super::{Cold, Loc, Low, Lower, Lowered, Place};
use crate::insn::Insn;
use crate::jit::Hop;
use crate::jit::encode::{Label, Mem, R};
use crate::jit::groups::{Constant, Sharing};
use crate::jit::ir::{Op, Val};
use crate::jit::passes::{Incoming, cond_reads, fl};
use crate::jit::regs::{TABLE, field};
use crate::jit::runtime;
use crate::jit::stubs::{Target, look_up};
use crate::mmu::table::Array;
use crate::ops::{Call, Cond, Helper, Jump};
use crate::state::{Seg, flag};
use iced_x86::Code;

/// A jump that can be patched to go straight to another block of the page.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Offset of the jump's 32-bit field.
    pub at: usize,
    /// Offset of the stub that it goes to while it is not linked.
    pub stub: usize,
    /// The translation that it goes to.
    pub to: Option<u32>,
    /// The parts of a jump to another page.
    pub far: Option<Far>,
    /// What to do where the target can't be entered with the recipe that this block leaves.
    pub tail: Option<Tail>,
    /// It leads to the page behind the block's own, in the frame that the block looked for when it was entered.
    pub beyond: bool,
    /// The page that it is in, if that isn't the first.
    pub page: Option<Hop>,
    /// It leads to where the block itself goes on.
    pub hop: Option<Hop>,
}

/// What comes between a block that leaves its flags as a recipe and a target that can't be entered with that.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// Makes the flags.
    pub makes: Piece,
    /// Puts what the recipe reads into slots, if there are enough: for a target that only changes registers of it.
    pub keeps: Option<Piece>,
    /// Guest registers that the recipe reads.
    pub inputs: u16,
}

/// Code that ends with a jump to a link's target.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Offset of the code.
    pub at: usize,
    /// Offset of its jump's 32-bit field.
    pub jump: usize,
}

/// A jump to another page holds for one address space as long as its code's mapping stays: it compares the number of both.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    /// Offset of the 32-bit number that the space is compared with; zero is none.
    pub serial: usize,
    /// Offsets of the halves of the page's RIP, compared because the same code may be mapped twice with other neighbours.
    pub page: [Option<usize>; 2],
    /// The first is compared alone, with the sign of its top bit above it.
    pub extends: bool,
    /// Bytes from the start of the page to the start of the other.
    pub pages: i64,
    /// Offset of the 32-bit field of the jump for other spaces and places.
    pub other: usize,
    /// Offset of where that goes once linked: the jump cache.
    pub cache: usize,
    /// Where it goes before: offset of the code that asks to be linked.
    pub ask: usize,
}

/// A [`Far`] in the making.
#[derive(Clone, Copy)]
pub(super) struct FarSite {
    pub(super) at: usize,
    pub(super) serial: usize,
    pub(super) page: [Option<usize>; 2],
    pub(super) extends: bool,
    pub(super) elsewhere: Label,
    pub(super) ask: Label,
    /// Offset of the target from the start of the page.
    pub(super) off: i32,
    pub(super) width: u8,
    /// See [`Link::hop`].
    pub(super) hop: Option<Hop>,
    /// The jump, if the block goes on behind it.
    pub(super) inner: Option<Place>,
}

/// A jump within the page, or to the one behind it, in the making.
#[derive(Clone, Copy)]
pub(super) struct Near {
    /// Where it goes while it is not linked.
    pub(super) stub: Label,
    /// Offset of the jump's 32-bit field.
    pub(super) at: usize,
    /// Offset of the target in its page.
    pub(super) to: u16,
    /// See [`Link::beyond`].
    pub(super) beyond: bool,
    /// What the block leaves with there, if it isn't what it ends with.
    pub(super) side: Option<Option<Recipe>>,
    /// See [`Link::page`].
    pub(super) page: Option<Hop>,
}

/// How the flags stand at a side exit of a trace.
#[derive(Clone, Copy)]
pub(super) enum Handed {
    /// In memory.
    Memory,
    /// In EFLAGS.
    Host,
    /// As a recipe.
    Recipe(Recipe),
}

/// Exits in the making.
#[derive(Default)]
pub struct Exits {
    pub(super) links: Vec<Near>,
    pub(super) fars: Vec<FarSite>,
    pub(super) absolute: Vec<(usize, Target)>,
    pub(super) far: Option<Label>,
    pub(super) sure: Option<Label>,
    pub(super) budget: Option<Label>,
    pub(super) code_limit: Option<Label>,
    pub(super) crossing: Option<Label>,
}

pub(super) const SIGN: u8 = 8;

/// Displacement of a direct jump; outside 64-bit code addresses wrap, and small numbers either way are the common case.
pub fn displacement(i: &Insn) -> i64 {
    if i.long() { i.imm as i64 } else { i64::from(i.imm as i32) }
}

impl Lower<'_> {
    /// The prologue: a jump from elsewhere brings RIP in R14; then the budget.
    pub(super) fn enter(&mut self, entry: super::Entry) {
        debug_assert!(self.state_is_reserved());
        let off = i32::from(self.insns[0].off);
        let near = self.asm.label();
        let far = self.asm.label();
        self.exits.far = Some(far);
        // The far entry stands before the near one and falls into it.
        self.asm.bind(far);
        let page = self.known(0);
        if let Some(page) = page {
            let moved = self.asm.label();
            self.asm.alu_imm(7, 8, R::R14, page + off);
            self.asm.jcc(5, moved);
            self.asm.store_imm(8, field::page_rip(), page);
            self.cold.push(Cold::Moved { from: moved, near, page });
            let sure = self.asm.label();
            self.asm.bind(sure);
            self.sure = self.asm.offset(sure);
            self.exits.sure = Some(sure);
        } else {
            if off != 0 {
                self.asm.lea(8, R::R14, Mem::at(R::R14, -off));
            }
            self.asm.store(8, field::page_rip(), R::R14);
        }
        if !self.key.code_flat() {
            // Most limits are all ones: then this is exact. A page that begins below the segment has a huge number.
            self.asm.lea(8, R::R15, Mem::at(R::R14, 4095));
            self.asm.alu_r_rm(1, 8, R::R15, R::R14);
            self.asm.alu_r_rm(7, 8, R::R15, field::code_limit());
            self.asm.setcc_mem(7, field::page_partly());
        }
        if page.is_none() {
            self.asm.bind(near);
            self.near = self.asm.offset(near);
            self.sure = self.near;
        }
        if !self.key.code_flat() {
            // All of the block lies below the code segment's limit, or the interpreter finds out where not.
            let last = self.insns[self.insns.len() - 1];
            let out = self.asm.label();
            self.in_segment(last.off + u16::from(last.len) - 1, R::R14, out);
            self.exits.code_limit = Some(out);
        }
        if let Some(frame) = entry.second {
            self.guard(frame);
        }
        let inner = self.asm.label();
        self.asm.bind(inner);
        self.inner = if self.spans { self.asm.offset(inner) } else { self.sure };
        if let Some(counter) = entry.counter {
            self.asm.mov_imm(R::R14, counter);
            self.asm.alu_imm(0, 8, Mem::at(R::R14, 0), 1);
        }
        let out = self.asm.label();
        self.asm.alu_imm(5, 8, field::budget(), self.insns.len() as i32);
        self.asm.jcc(SIGN, out);
        self.exits.budget = Some(out);
    }

    /// Goes to `out` if `off` in the page lies outside the code segment. Destroys EFLAGS and `t`.
    fn in_segment(&mut self, off: u16, t: R, out: Label) {
        let (from, back) = (self.asm.label(), self.asm.label());
        self.asm.alu_imm(7, 1, field::page_partly(), 0);
        self.asm.jcc(5, from);
        self.asm.bind(back);
        self.cold.push(Cold::Limit { from, back, out, off, t });
    }

    /// Leaves unless the next page is still mapped, executable, to the host page `frame`. Code that is made for one RIP needn't look for
    /// that while the space's code is mapped as it was when it last did.
    fn guard(&mut self, frame: u64) {
        let out = self.asm.label();
        self.exits.crossing = Some(out);
        if self.placed.is_none() {
            return self.look_behind(frame, out);
        }
        let (from, back) = (self.asm.label(), self.asm.label());
        // CMP dword [space's serial], imm32
        self.asm.alu_imm32(7, 4, field::plus(field::space(), 4), 0);
        self.guard = Some(self.asm.here() - 4);
        self.asm.jcc(5, from);
        self.asm.bind(back);
        self.cold.push(Cold::Behind { from, back, frame, out });
    }

    /// Goes to `out` unless the next page is mapped, executable, to the host page `frame`.
    pub(super) fn look_behind(&mut self, frame: u64, out: Label) {
        let (again, found) = (self.asm.label(), self.asm.label());
        let missed = self.asm.label();
        self.asm.load(8, R::R14, field::page_rip());
        self.asm.lea(8, R::R14, Mem::at(R::R14, 4096));
        if !self.key.code_flat() {
            self.asm.alu_r_rm(0, 8, R::R14, field::seg_base(Seg::Cs as u8));
        }
        if !self.key.code64() {
            self.asm.mov(4, R::R14, R::R14);
        }
        self.asm.bind(again);
        self.asm.bextr(R::R15, R::R14, TABLE);
        let (tag, delta) = (self.entry(R::R15, Array::Execute), self.entry(R::R15, Array::Delta));
        self.asm.alu_r_rm(7, 8, R::R14, tag);
        if self.placed.is_some() {
            self.asm.jcc(4, found);
            self.second_code(again, out);
        } else {
            self.asm.jcc(5, missed);
            self.cold.push(Cold::SecondCode { from: missed, back: again, out });
        }
        self.asm.bind(found);
        self.asm.alu_r_rm(0, 8, R::R14, delta);
        self.asm.mov_imm(R::R15, frame);
        self.asm.alu_rm_r(7, 8, R::R14, R::R15);
        self.asm.jcc(5, out);
    }

    pub(super) fn begin(&mut self) {
        let at = self.asm.label();
        self.asm.bind(at);
        self.begins.push(super::Begin {
            at,
            flags: self.flags.host != 0,
            vectors: self.vec_ready,
            fpu: self.fpu_ready || self.note.is_some(),
            cached: self.cached,
        });
    }

    pub(super) fn jump_to(&mut self, t: Target) {
        self.asm.byte(0xe9);
        self.exits.absolute.push((self.asm.here(), t));
        self.asm.bytes.extend([0; 4]);
    }

    pub(super) fn call_to(&mut self, t: Target) {
        self.asm.byte(0xe8);
        self.exits.absolute.push((self.asm.here(), t));
        self.asm.bytes.extend([0; 4]);
    }

    /// Puts the address of the block's instructions into R11.
    pub(super) fn insns_to_r11(&mut self) {
        self.exits.absolute.push((self.asm.here() + 3, Target::Insns));
        self.asm.bytes.extend([0x4c, 0x8b, 0x1d, 0, 0, 0, 0]); // mov r11, [rip + slot]
    }

    /// Puts the block's number into `r`, one of the upper eight.
    pub(super) fn block_to(&mut self, r: R) {
        self.exits.absolute.push((self.asm.here() + 2, Target::Block));
        self.asm.mov_imm(r, 0);
    }

    /// Gives back the budget of instructions from `n` on and leaves at offset `off` of the page.
    pub(super) fn leave(&mut self, n: usize, off: u16, why: Target) {
        self.give_back(n);
        self.asm.store_imm(4, field::exit_rip(), i32::from(off));
        self.jump_to(why);
    }

    /// Gives back the budget of instructions from `n` on.
    pub(super) fn give_back(&mut self, n: usize) {
        let rest = self.insns.len() - n;
        if rest > 0 {
            self.asm.alu_imm(0, 8, field::budget(), rest as i32);
        }
    }

    pub(super) fn check_direct(&mut self) -> Low<()> {
        if self.key.code_flat() {
            // A displacement can leave the canonical range in 64-bit code only from its very edge: the dispatcher finds that
            // out when it looks the target up, after a push that should not have happened, so calls are checked.
            return Ok(());
        }
        self.expose()?;
        let i = *self.insn();
        self.check_target(&i)
    }

    /// Leaves before the instruction if its direct target is outside the code segment. What becomes of the flags has been
    /// settled.
    fn check_target(&mut self, i: &Insn) -> Low<()> {
        if self.checked() {
            return Ok(());
        }
        if let Some(off) = self.target_in_page(i) {
            // Where IP wraps, it leads elsewhere: that is left to the interpreter.
            let t = self.fresh()?;
            let bail = self.bail_label();
            self.in_segment(off, t, bail);
            self.give(t);
            return Ok(());
        }
        let t = self.target(i)?;
        self.asm.alu_r_rm(7, 8, t, field::code_limit());
        let bail = self.bail_label();
        self.asm.jcc(7, bail);
        self.give(t);
        Ok(())
    }

    pub(super) fn check_indirect(&mut self, v: Val) -> Low<()> {
        if self.long() && !matches!(self.ops.last(), Some(Op::JumpIndirect(Jump::Call, _))) {
            // A return that finds its target in the jump cache has a good one: see `jump_indirect`.
            return Ok(());
        }
        self.expose()?;
        let t = self.full(v)?;
        self.lock(t);
        let bail = self.bail_label();
        if self.long() {
            // Bits 63-47 are alike: as a number of 17 bits, all zeros or one less than zero.
            let u = self.fresh()?;
            self.asm.rorx(8, u, t, 47);
            self.asm.incdec(0, 4, u);
            self.asm.test_imm(4, u, 0x1fffe);
            self.asm.jcc(5, bail);
            self.give(u);
        } else if !self.key.code_flat() {
            self.asm.alu_r_rm(7, 8, t, field::code_limit());
            self.asm.jcc(7, bail);
        }
        Ok(())
    }

    /// Whether the target of the instruction at hand has been checked by an operation before.
    fn checked(&self) -> bool {
        let mut before = self.ops[..self.at].iter().rev().take_while(|op| !matches!(op, Op::Begin(_)));
        before.any(|op| matches!(op, Op::CheckDirect | Op::CheckIndirect(_)))
    }

    /// Offset of the direct target, if it is in the page.
    fn target_in_page(&self, i: &Insn) -> Option<u16> {
        let off = i64::from(i.off) + i64::from(i.len) + displacement(i);
        ((0..4096).contains(&off) && i.size >= i.code_width()).then_some(off as u16)
    }

    /// RIP of the direct target, in a temporary.
    fn target(&mut self, i: &Insn) -> Low<R> {
        let t = self.fresh()?;
        let off = i64::from(i.off) + i64::from(i.len) + displacement(i);
        let Ok(off) = i32::try_from(off) else { return self.refuse() };
        self.asm.load(8, t, field::page_rip());
        self.lea(t, Mem::at(t, off), i.size);
        Ok(t)
    }

    /// Goes to the direct target of the instruction, or (`next`) to the one after it.
    fn go(&mut self, i: &Insn, next: bool) -> Low<()> {
        let off = i64::from(i.off) + i64::from(i.len) + if next { 0 } else { displacement(i) };
        // Within the page: a link. (In a segment it has been checked that IP doesn't wrap between: see `check_direct`.)
        if (0..self.reach()).contains(&off) && i.size >= i.code_width() {
            self.link_with(off as u16, None);
            return Ok(());
        }
        if let Ok(off) = i32::try_from(off)
            && self.key.code_flat()
            && i.size >= i.code_width()
            && i.code_width() >= 4
        {
            self.far_link(off, i.code_width());
            return Ok(());
        }
        let t = if next {
            let t = self.fresh()?;
            self.asm.load(8, t, field::page_rip());
            self.lea(t, Mem::at(t, i32::from(i.off) + i32::from(i.len)), i.code_width());
            t
        } else {
            self.target(i)?
        };
        self.far_jump(t);
        self.give(t);
        Ok(())
    }

    /// A jump to a fixed place in another page: straight on while the space is the one it was linked in.
    fn far_link(&mut self, off: i32, width: u8) {
        let ask = self.asm.label();
        let site = self.cross(off, width, ask);
        self.asm.jmp(ask);
        let at = self.asm.here() - 4;
        self.exits.fars.push(FarSite { at, ..site });
    }

    /// Goes to another page, with what is so far from the start of the one at hand, if that is where it was.
    fn cross(&mut self, off: i32, width: u8, ask: Label) -> FarSite {
        // CMP dword [space's serial], imm32
        self.asm.alu_imm32(7, 4, field::plus(field::space(), 4), 0);
        let serial = self.asm.here() - 4;
        let elsewhere = self.asm.label();
        self.asm.jcc(5, elsewhere);
        let mut page = [None; 2];
        let pages = off.div_euclid(4096) * 4096;
        let extends = width == 8 && self.extends;
        let there = self.known(pages.into());
        let (words, w) = match there {
            // It isn't run anywhere else.
            Some(_) => (0, 8),
            None if extends => (1, 8),
            None => (usize::from(width / 4), 4),
        };
        for (half, at) in page.iter_mut().enumerate().take(words) {
            self.asm.alu_imm32(7, w, field::plus(field::page_rip(), 4 * half as i32), 0);
            *at = Some(self.asm.here() - 4);
            self.asm.jcc(5, elsewhere);
        }
        match there {
            Some(there) => self.asm.store_imm(8, field::page_rip(), there),
            None => self.asm.alu_imm(0, width, field::page_rip(), pages),
        }
        FarSite { at: 0, serial, page, extends, elsewhere, ask, off, width, hop: None, inner: None }
    }

    /// A trace goes on in another page behind the jump at hand.
    pub(super) fn go_on_in(&mut self, hop: Hop) -> Low<()> {
        let i = *self.insn();
        self.hops.push(hop);
        if !hop.first {
            // What the first has looked at still holds: whatever might change it leaves the block.
            match self.known(hop.pages.into()) {
                Some(there) => self.asm.store_imm(8, field::page_rip(), there),
                None => {
                    self.clobber()?;
                    self.asm.alu_imm(0, i.code_width(), field::page_rip(), hop.pages);
                }
            }
            self.hop = (hop.by != 0).then_some(hop);
            return Ok(());
        }
        self.expose()?;
        let (ask, at) = (self.asm.label(), self.here());
        let off = match self.ops[..self.at]
            .iter()
            .rev()
            .find(|op| matches!(op, Op::Begin(_) | Op::Expect { .. }))
        {
            Some(Op::Expect { to, .. }) => *to,
            _ => match i32::try_from(i64::from(i.off) + i64::from(i.len) + displacement(&i)) {
                Ok(off) => off,
                Err(_) => return self.refuse(),
            },
        };
        let site = self.cross(off, i.code_width(), ask);
        self.exits.fars.push(FarSite { hop: Some(hop), inner: Some(at), ..site });
        self.hop = (hop.by != 0).then_some(hop);
        Ok(())
    }

    /// Whether a return leads, for sure, to where it is expected to: `v` is what a call has stored.
    pub(super) fn is_expected(&self, v: Val, to: i32) -> bool {
        let by = self.hop.map_or(0, |h| i64::from(h.by));
        self.groups.found(v.n()) == Some(Constant::Rip(by + i64::from(to)))
    }

    /// A return, to what `v` holds, that is expected to lead to so many bytes from the start of the page.
    pub(super) fn expect(&mut self, v: Val, to: i32) -> Low<()> {
        if self.is_expected(v, to) {
            return Ok(());
        }
        self.expose()?;
        let Op::Load(from) = self.ops[v.n()] else { return self.refuse() };
        let popped = i32::from(from.w) + i32::from(self.insn().imm as u16);
        let rm = self.operand(v, from.w)?;
        match self.known(to.into()) {
            Some(at) => self.asm.alu_imm(7, from.w, rm, at),
            None => {
                let t = self.fresh()?;
                self.asm.load(8, t, field::page_rip());
                self.lea(t, Mem::at(t, to), from.w);
                self.asm.alu_rm_r(7, from.w, rm, t);
                self.give(t);
            }
        }
        let at = self.here();
        let elsewhere = self.asm.label();
        self.asm.jcc(5, elsewhere);
        self.cold.push(Cold::Elsewhere { from: elsewhere, at, to: rm, w: from.w, popped });
        Ok(())
    }

    /// Goes to where a return at the end has been found to lead.
    pub(super) fn go_back(&mut self, to: i32) -> Low<()> {
        self.leave_recipe()?;
        self.flags.host = 0;
        if (0..self.reach()).contains(&to.into()) {
            self.link_with(to as u16, None);
        } else {
            let width = self.insn().code_width();
            self.far_link(to, width);
        }
        Ok(())
    }

    /// How far from the start of the page links lead.
    fn reach(&self) -> i64 {
        if self.spans { 8192 } else { 4096 }
    }

    /// A jump to offset `to` from the start of the page, which is within [`Lower::reach`].
    pub(super) fn link_with(&mut self, to: u16, side: Option<Option<Recipe>>) {
        let beyond = to >= 4096;
        if beyond {
            let width = self.insns[0].code_width();
            self.asm.alu_imm(0, width, field::page_rip(), 4096);
        }
        let stub = self.asm.label();
        self.asm.jmp(stub);
        let at = self.asm.here() - 4;
        self.exits.links.push(Near { stub, at, to: to % 4096, beyond, side, page: self.hop });
    }

    /// Goes to the RIP in `t` by way of the jump cache.
    fn far_jump(&mut self, t: R) {
        if t != R::R14 {
            self.asm.mov(8, R::R14, t);
        }
        self.jump_to(Target::Jump);
    }

    pub(super) fn jump_direct(&mut self) -> Low<()> {
        let i = *self.insn();
        if self.links_only(&i) {
            self.leave_recipe()?;
        } else {
            self.spill_flags()?;
        }
        self.flags.host = 0;
        if !self.key.code_flat() {
            self.check_target(&i)?;
        }
        self.go(&i, false)
    }

    /// Whether the block's ways on after its last instruction are all links.
    fn links_only(&self, i: &Insn) -> bool {
        let next = i64::from(i.off) + i64::from(i.len);
        if !self.key.code_flat() {
            return next < 4096 && self.target_in_page(i).is_some();
        }
        let far = i32::try_from(next + displacement(i));
        i.size >= i.code_width() && i.code_width() >= 4 && far.is_ok()
    }

    pub(super) fn jump_indirect(&mut self, why: Jump, v: Val) -> Low<()> {
        if why == Jump::Return || self.long() {
            self.free_recipe()?;
            self.leave_recipe()?;
        } else {
            // Whether the code there can do with a recipe is as hard to predict as the target itself. (In 64-bit code it is one
            // with the target: see `look_up`.)
            self.spill_flags()?;
        }
        self.flags.host = 0;
        let t = match self.loc[v.n()] {
            Loc::Guest { r, w: 8 } if let Some(h) = self.host(r) => h,
            _ => self.temp(v)?,
        };
        if !self.key.code_flat() && !self.checked() {
            self.asm.alu_r_rm(7, 8, t, field::code_limit());
            let bail = self.bail_label();
            self.asm.jcc(7, bail);
        }
        if t != R::R14 {
            self.asm.mov(8, R::R14, t);
        }
        let popped = match self.ops[v.n()] {
            Op::Load(from) if why == Jump::Return => i32::from(from.w) + i32::from(self.insn().imm as u16),
            _ if why == Jump::Return => return self.refuse(),
            _ => 0,
        };
        let (unknown, refused) = (self.asm.label(), self.asm.label());
        let recipe = self.left.take();
        let needs = recipe.map(|r| (Incoming::ANY | u32::from(r.inputs()), refused));
        look_up(&mut self.asm, unknown, self.key.code64(), needs);
        if let Some(recipe) = recipe {
            self.cold.push(Cold::Refused { from: refused, recipe });
        }
        self.cold.push(Cold::Unknown { from: unknown, why, popped });
        Ok(())
    }

    pub(super) fn branch(&mut self, c: Val) -> Low<()> {
        let c = self.temp(c)?;
        let i = *self.insn();
        if self.links_only(&i) {
            self.leave_recipe()?;
        } else {
            self.spill_flags()?;
        }
        self.flags.host = 0;
        self.asm.test(8, c, c);
        self.fork(5)
    }

    pub(super) fn branch_cond(&mut self, cc: u8) -> Low<()> {
        let i = *self.insn();
        if self.links_only(&i) {
            self.leave_recipe()?;
        } else {
            self.spill_flags()?;
        }
        self.need(cond_reads(Cond(cc)))?;
        self.fork(cc)
    }

    /// A branch that the trace is expected not to take.
    pub(super) fn side_exit(&mut self, cc: u8, to: u16) -> Low<()> {
        self.need(cond_reads(Cond(cc)))?;
        let st = self.flags;
        let flags = match st.recipe {
            _ if st.synced => Handed::Memory,
            Some(r) if st.host == fl::ALL || st.deferred => Handed::Recipe(r),
            _ if st.host == fl::ALL => Handed::Host,
            _ => {
                self.spill_flags()?;
                // Merging some with those in memory may have used EFLAGS up.
                self.need(cond_reads(Cond(cc)))?;
                Handed::Memory
            }
        };
        let from = self.asm.label();
        self.asm.jcc(cc, from);
        self.cold.push(Cold::Side { from, n: self.n, to, flags, note: self.note, hop: self.hop });
        Ok(())
    }

    fn fork(&mut self, cc: u8) -> Low<()> {
        let i = *self.insn();
        if !self.key.code_flat() {
            // The target is checked only where it is taken.
            let not = self.asm.label();
            self.asm.jcc(cc ^ 1, not);
            let free = self.free;
            self.check_target(&i)?;
            self.go(&i, false)?;
            self.free = free;
            self.asm.bind(not);
            return self.go(&i, true);
        }
        let taken = self.asm.label();
        let off = i64::from(i.off) + i64::from(i.len) + displacement(&i);
        if (0..4096).contains(&off) && i.size >= i.code_width() {
            // The conditional jump itself is the link.
            let stub = self.asm.label();
            self.asm.jcc(cc, stub);
            let field = self.asm.here() - 4;
            let page = self.hop;
            self.exits.links.push(Near { stub, at: field, to: off as u16, beyond: false, side: None, page });
            return self.go(&i, true);
        }
        self.asm.jcc(cc, taken);
        let free = self.free;
        self.go(&i, true)?;
        self.free = free;
        self.asm.bind(taken);
        self.go(&i, false)
    }

    /// The block ends without a jump.
    pub(super) fn fall_through(&mut self) {
        self.locked = 0;
        if let Some(note) = self.note.take() {
            self.store_note(note, R::R14);
        }
        let last = self.insns[self.insns.len() - 1];
        let off = last.off + u16::from(last.len);
        let linked = i64::from(off) < self.reach() || self.key.code_flat() && last.code_width() >= 4;
        let flags = if linked { self.leave_recipe() } else { self.spill_flags() };
        if flags.is_err() {
            unreachable!("a temporary is free between instructions");
        }
        if i64::from(off) < self.reach() {
            self.link_with(off, None);
        } else if self.key.code_flat() && last.code_width() >= 4 {
            self.far_link(i32::from(off), last.code_width());
        } else {
            self.asm.load(8, R::R14, field::page_rip());
            self.lea(R::R14, Mem::at(R::R14, i32::from(off)), last.code_width());
            self.far_jump(R::R14);
        }
    }

    /// Shared Rust code in the middle of the block.
    pub(super) fn call(&mut self, how: Call, f: Helper) -> Low<()> {
        // These go by the encoding, which a model may lack: then its meaning is #UD, a transfer.
        if how != Call::Transfer && self.x87()? {
            return Ok(());
        }
        self.expose()?;
        if how != Call::Transfer && (self.system()? || self.time_stamp()?) {
            return Ok(());
        }
        self.flush_note()?;
        let done = match self.open_interrupts() {
            None if how == Call::Segment => self.load_segment()?,
            done => done,
        };
        // Values in temporaries don't survive.
        let i = usize::from(self.n);
        let rest = self.insns.len() - i;
        let flags = u64::from(!matches!(how, Call::Inline | Call::Segment)) << 32;
        let far = if how == Call::Transfer && self.insn().leaves_segment() { runtime::FAR } else { 0 };
        self.asm.mov_imm(R::R14, f as usize as u64);
        self.asm.mov_imm(R::R15, rest as u64 | (i as u64) << 16 | flags | far);
        self.insns_to_r11();
        self.call_to(Target::Helper(how));
        self.asm.test(4, R::R14, R::R14);
        let ok = self.asm.label();
        self.asm.jcc(4, ok);
        // 1: it faults. 2: done, but something has come up. 3: not done yet, and
        // something has come up; or done, and the mode or the space is another.
        self.asm.alu_imm(7, 4, R::R14, 2);
        let bail = self.bail_label();
        self.asm.jcc(2, bail);
        let insn = *self.insn();
        if how == Call::Transfer {
            self.asm.load(8, R::R14, field::exit_rip());
            self.jump_to(Target::Out);
        } else {
            let at = self.asm.label();
            if how != Call::Inline {
                self.asm.jcc(7, at);
            }
            self.leave(i + 1, insn.off + u16::from(insn.len), Target::Attention);
            self.asm.bind(at);
            match how {
                Call::Counted => self.leave(i + 1, insn.off, Target::Attention),
                Call::Step | Call::Segment => {
                    let rest = self.insns.len() - i - 1;
                    if rest > 0 {
                        self.asm.alu_imm(0, 8, field::budget(), rest as i32);
                    }
                    self.asm.load(8, R::R14, field::exit_rip());
                    self.jump_to(Target::Jump);
                }
                _ => {}
            }
        }
        self.asm.bind(ok);
        if how == Call::Transfer {
            self.asm.load(8, R::R14, field::exit_rip());
            self.jump_to(Target::Jump);
        }
        if let Some(done) = done {
            self.asm.bind(done);
        }
        self.flags = super::flags::State::in_memory();
        self.vec_ready = false;
        self.fpu_ready = false;
        Ok(())
    }

    /// STI at privilege level 0 where no interrupt waits and the slice goes on: nothing comes of it, and nobody sees the
    /// shadow. Elsewhere shared code runs; the label is where it goes on.
    fn open_interrupts(&mut self) -> Option<Label> {
        if self.insn().code() != Code::Sti || self.key.v86() || self.key.cpl() != 0 && !self.key.real() {
            return None;
        }
        let (slow, done) = (self.asm.label(), self.asm.label());
        self.asm.alu_imm(7, 1, field::intr(), 0);
        self.asm.jcc(5, slow);
        self.asm.alu_imm(7, 8, field::budget(), 0);
        self.asm.jcc(14, slow);
        self.asm.alu_imm(1, 8, field::rflags(), flag::IF as i32);
        self.asm.jmp(done);
        self.asm.bind(slow);
        Some(done)
    }

    /// Makes the vector state the guest's, if it isn't.
    pub(super) fn vectors_on(&mut self) -> Low<()> {
        self.expose()?;
        let from = self.asm.label();
        let back = self.asm.label();
        self.asm.alu_imm(7, 4, field::vec_on(), 0);
        self.asm.jcc(4, from);
        self.asm.bind(back);
        self.cold.push(Cold::Vectors { from, back });
        self.vec_ready = true;
        Ok(())
    }

    /// A call of vector code: operands and result are in the scratch area.
    pub(super) fn vec_call(&mut self, f: usize, flags: bool) -> Low<()> {
        let i = usize::from(self.n);
        let rest = self.insns.len() - i;
        self.asm.mov_imm(R::R14, f as u64);
        self.asm.mov_imm(R::R15, rest as u64 | (i as u64) << 16 | u64::from(flags) << 32);
        self.insns_to_r11();
        self.call_to(Target::Vector);
        self.asm.test(4, R::R14, R::R14);
        let bail = self.bail_label();
        self.asm.jcc(5, bail);
        Ok(())
    }

    /// Code that `body` writes, and a jump still to be filled in.
    fn piece(&mut self, body: impl FnOnce(&mut Self)) -> Piece {
        let at = self.asm.here();
        body(self);
        self.asm.byte(0xe9);
        let jump = self.asm.here();
        self.asm.bytes.extend([0; 4]);
        Piece { at, jump }
    }

    pub(super) fn finish(mut self, hot: usize) -> Lowered {
        let fars = self.far_paths();
        let mut links: Vec<Link> = self
            .exits
            .links
            .iter()
            .map(|l| {
                let stub = self.asm.offset(l.stub);
                let (at, beyond, page) = (l.at, l.beyond, l.page);
                Link { at, stub, to: None, far: None, tail: None, beyond, page, hop: None }
            })
            .chain(fars)
            .collect();
        let sides: Vec<_> = self.exits.links.iter().map(|l| l.side).collect();
        for (k, l) in links.iter_mut().enumerate() {
            let Some(r) = sides.get(k).copied().flatten().unwrap_or(self.left) else { continue };
            let makes = self.piece(|l| l.cook_cold(Some(r)));
            let keeps = r.in_slots().map(|(kept, moves)| {
                self.piece(|l| {
                    for (r, slot) in moves {
                        let from = l.guest_in(r, R::R14);
                        l.asm.store(8, field::held(slot), from);
                    }
                    l.asm.store_imm(4, field::recipe(), kept as i32);
                })
            });
            l.tail = Some(Tail { makes, keeps, inputs: r.inputs() });
        }
        let crossing = self.asm.resolve(hot);
        let far = self.exits.far.map_or(0, |l| self.asm.offset(l));
        Lowered {
            hot,
            crossing,
            near: self.near,
            sure: self.sure,
            placed: self.placed,
            inner: self.inner,
            far,
            incoming: Incoming { needed: true, dirty: 0 },
            fewer: Sharing::Nothing,
            links,
            hops: self.hops,
            guard: self.guard,
            absolute: self.exits.absolute,
            bytes: self.asm.bytes,
        }
    }
}
