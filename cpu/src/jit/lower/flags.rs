//! Status flags while lowering: some in host EFLAGS, the rest in [`Scratch::flags`](super::super::regs::Scratch).
//!
//! The memory form is what `SETO AL; LAHF` leaves in AX: byte 0 OF, byte 1 SF ZF 0 AF 0 PF 1 CF.

use super::recipe::{HELD, How, Keep, Recipe, Second, Then};
use super::{Loc, Low, Lower};
use crate::jit::encode::{R, Rm};
use crate::jit::ir::{Op, Val};
use crate::jit::passes::{cond_reads, effect, fl, from_rflags, may_leave};
use crate::jit::regs::field;
use crate::ops::{Cond, Shift, Unary};
use crate::state::flag;

/// Which flags EFLAGS holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Valid in EFLAGS.
    pub host: u8,
    /// Memory holds all of them, as they are now.
    pub synced: bool,
    /// How to make all of them again, as long as the registers that it names stay as they are.
    pub recipe: Option<Recipe>,
    /// They are nowhere: `recipe` makes them for whoever wants them.
    pub deferred: bool,
    /// The instruction that `recipe` is of.
    pub made: u16,
    /// The value that the recipe expects in its register, to which it is still to be set.
    pub result: Option<u32>,
}

/// What OF is after a shift or rotation, as both engines define it where the manual doesn't: see [`crate::interp::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// As the host has it.
    Host,
    Clear,
    /// CF and the result's sign differ.
    SignCarry,
    /// The same where the host sets no SF.
    TopCarry,
    /// The two top bits of the result differ.
    TopTwo,
}

impl Overflow {
    /// After a shift or rotation (not through carry) by `c`, or by a count that isn't known.
    pub fn after(op: Shift, c: Option<u8>) -> Overflow {
        match (op, c) {
            (Shift::Sar, _) => Overflow::Clear,
            (_, Some(1)) => Overflow::Host,
            (Shift::Shr, Some(_)) => Overflow::Clear,
            (Shift::Shl, _) => Overflow::SignCarry,
            (Shift::Rol | Shift::Rcl, _) => Overflow::TopCarry,
            (Shift::Shr | Shift::Ror | Shift::Rcr, _) => Overflow::TopTwo,
        }
    }
}

impl State {
    pub fn in_memory() -> State {
        State { host: 0, synced: true, recipe: None, deferred: false, made: 0, result: None }
    }
}

/// [`fl`] mask as bits of the memory form (byte 1 in bits 15:8).
fn word(mask: u8) -> u32 {
    let m = u32::from(mask);
    m & 1 | (m & 2) << 1 | (m & 4) << 2 | (m & 8) << 3 | (m & 16) << 3
}

fn memory_mask(mask: u8) -> u32 {
    word(mask) << 8 | u32::from(mask & fl::O != 0)
}

impl Lower<'_> {
    /// A guest operation has just set flags `set` in EFLAGS; those in `keep` that EFLAGS held stay there.
    pub(super) fn produced(&mut self, set: u8, keep: u8) {
        self.flags.host = set | self.flags.host & keep;
        self.flags.synced = false;
        self.flags.recipe = None;
        self.flags.deferred = false;
    }

    /// The recipe that cold code of the operation at hand needs to have the flags.
    pub(super) fn pending(&self) -> Option<Recipe> {
        if self.flags.deferred { self.flags.recipe } else { None }
    }

    /// Guest register `r` in a register: `t`, if it has none of its own. Leaves EFLAGS as they are.
    pub(super) fn guest_in(&mut self, r: u8, t: R) -> R {
        match self.guest_rm(r) {
            Rm::Reg(h) => h,
            m => {
                self.asm.load(8, t, m);
                t
            }
        }
    }

    /// Puts guest register `r`, which the instruction at hand is about to change, into a slot; leaves EFLAGS as they are.
    fn keep(&mut self, r: u8, slot: u8) -> Low<()> {
        let spare = if self.host(r).is_none() { Some(self.fresh()?) } else { None };
        let from = self.guest_in(r, spare.unwrap_or(R::RAX));
        self.asm.store(8, field::held(slot), from);
        if let Some(t) = spare {
            self.give(t);
        }
        self.keeps.push(Keep { n: self.n, slot, r });
        Ok(())
    }

    /// The same for the first operand of the operation at hand, which is to change it in place, for the recipe of that:
    /// if somebody may want the flags, and the register still is as it was when the instruction began.
    pub(super) fn keep_first(&mut self, r: u8, slot: u8) -> Low<bool> {
        if !self.facts.exposed[self.at] {
            return Ok(false);
        }
        let mut before = self.ops[..self.at].iter().rev().take_while(|op| !matches!(op, Op::Begin(_)));
        if before.any(|op| matches!(op, Op::Set { .. } | Op::Mul { .. } | Op::Div { .. })) {
            return Ok(false);
        }
        self.keep(r, slot)?;
        Ok(true)
    }

    /// Whether an operation wants flags that it doesn't make: itself, because it keeps some that are read later, or because
    /// it may leave before it has made its own.
    pub(super) fn wants_old_flags(&self, op: &Op) -> bool {
        let (reads, kills) = effect(op, |v| self.constant(v));
        may_leave(op) || reads != 0 || self.facts.live[self.at] & !kills != 0
    }

    /// As [`Lower::cook`], and stores them. Whether EFLAGS have them too.
    fn cook_to_memory(&mut self, r: Recipe, t: R) -> bool {
        if let Some(then) = r.then {
            self.cook_to_memory(Recipe { then: None, ..r }, t);
            self.cook_then(then, t);
            return false;
        }
        if r.how == How::Stored {
            return false;
        }
        if !self.common.exact.shifts
            && let Some(of) = self.cook_shift(r, t)
        {
            // None of these looks at the result, which is in `t`.
            self.settle_memory(of, r.w, t.into(), t);
            return false;
        }
        self.cook(r, t);
        self.asm.mov(8, t, R::RAX);
        self.asm.setcc(0, R::RAX);
        self.asm.lahf();
        self.asm.store(2, field::flags(), R::RAX);
        self.asm.mov(8, R::RAX, t);
        true
    }

    /// The same for cold code, where R14 is free.
    pub(super) fn cook_cold(&mut self, r: Option<Recipe>) {
        let Some(r) = r else { return };
        self.cook_to_memory(r, R::R14);
        self.asm.store_imm(4, field::recipe(), 0);
    }

    /// Memory holds the flags now: the recipe that the block may have been entered with is void.
    pub(super) fn void_recipe(&mut self) {
        if !self.needs_flags {
            self.asm.store_imm(4, field::recipe(), 0);
        }
    }

    /// At the end of a block whose links can tell what their targets need: leaves the recipe instead of the flags. EFLAGS
    /// keep them.
    pub(super) fn leave_recipe(&mut self) -> Low<()> {
        let st = self.flags;
        let known = !st.synced && (st.host == fl::ALL || st.deferred);
        if let Some(r) = st.recipe.filter(|_| known)
            && let Some(r) = self.leave_with(r)
        {
            self.left = Some(r);
            return Ok(());
        }
        self.spill_flags()
    }

    /// Leaves a recipe, if there is a number for it: returns it as it is left. EFLAGS stay.
    pub(super) fn leave_with(&mut self, r: Recipe) -> Option<Recipe> {
        let r = self.narrow(r);
        self.asm.store_imm(4, field::recipe(), r.number()? as i32);
        Some(r)
    }

    /// A constant too wide for a recipe's number goes to a slot, where there is one.
    fn narrow(&mut self, r: Recipe) -> Recipe {
        match (r.wide(), r.free_slot()) {
            (Some(c), Some(slot)) => {
                self.asm.store_imm(8, field::held(slot), c);
                Recipe { b: Second::Guest(HELD + slot), ..r }
            }
            _ => r,
        }
    }

    /// Before a jump to who knows where: puts what the recipe reads into slots, since most code changes registers before it
    /// changes flags.
    pub(super) fn free_recipe(&mut self) -> Low<()> {
        if let Some(recipe) = self.flags.recipe.filter(|_| !self.flags.synced) {
            self.flags.recipe = Some(self.narrow(recipe));
        }
        while let Some(recipe) = self.flags.recipe
            && !self.flags.synced
            && recipe.number().is_some()
            && recipe.inputs() != 0
            && let Some(slot) = recipe.free_slot()
        {
            let r = recipe.inputs().trailing_zeros() as u8;
            self.keep(r, slot)?;
            self.flags.recipe = Some(recipe.renamed(r, slot));
        }
        Ok(())
    }

    /// Whether the operation at hand is one that changes CF and OF only, and may come on top of a recipe.
    pub(super) fn may_step(&self, op: &Op) -> bool {
        match *op {
            Op::Mul { w, .. } => w > 1,
            Op::Shift { op: Shift::Rol | Shift::Ror, w, a, count } => {
                let n = self.constant(count).map_or(0, |n| n & if w == 8 { 63 } else { 31 });
                n != 0 && self.goes_back(self.loc[a.n()], w).is_some()
            }
            _ => false,
        }
    }

    /// Whether the operation at hand is an INC or DEC that makes all flags of another's recipe void but CF, which then is
    /// where that one's recipe says.
    pub(super) fn hands_carry_on(&self, op: &Op) -> Option<i32> {
        let Op::Unary { op: Unary::Inc | Unary::Dec, w, a } = *op else { return None };
        let Recipe { how: How::Incremented | How::Decremented, b: Second::Imm(carry), then: None, .. } =
            self.pending()?
        else {
            return None;
        };
        (self.facts.exposed[self.at] && self.goes_back(self.loc[a.n()], w).is_some()).then_some(carry)
    }

    /// Before an operation that changes CF and OF only: where somebody may want the flags, their recipe is now that of the
    /// others (true).
    pub(super) fn begin_step(&mut self) -> Low<bool> {
        let op = self.ops[self.at];
        if !self.facts.exposed[self.at] || !self.may_step(&op) {
            if self.flags.deferred && self.wants_old_flags(&op) {
                self.spill_flags()?;
            }
            return Ok(false);
        }
        let st = self.flags;
        let base = match st.recipe {
            Some(r) if !st.synced && (st.host == fl::ALL || st.deferred) => Recipe { then: None, ..r },
            _ => {
                self.spill_flags()?;
                Recipe::STORED
            }
        };
        (self.flags.recipe, self.flags.synced, self.flags.deferred) = (Some(base), false, true);
        Ok(true)
    }

    /// After it: EFLAGS have `set`.
    pub(super) fn end_step(&mut self, then: Then, set: u8) {
        let st = self.flags;
        // If it is synced, it has been made meanwhile because a register that it read was about to change.
        let base = st.recipe.filter(|_| !st.synced).unwrap_or(Recipe::STORED);
        self.flags = State {
            host: set,
            synced: false,
            recipe: Some(Recipe { then: Some(then), ..base }),
            deferred: true,
            made: st.made,
            result: None,
        };
    }

    /// EFLAGS are about to be destroyed: whether those who want the flags later, cold code most often, can make them.
    fn defer(&mut self) -> bool {
        let st = &mut self.flags;
        if st.deferred {
            return self.may_defer;
        }
        let can = self.may_defer && !st.synced && st.host == fl::ALL && st.recipe.is_some();
        if can {
            st.deferred = true;
        }
        can
    }

    /// Guest register `r` is about to change.
    pub(super) fn changes_input(&mut self, r: u8) -> Low<()> {
        let Some(recipe) = self.flags.recipe.filter(|k| k.uses(r)) else { return Ok(()) };
        let (_, kills) = effect(&self.ops[self.at], |v| self.constant(v));
        let wanted = self.facts.live[self.at] & !kills != 0;
        if wanted
            && (self.flags.deferred || self.facts.exposed[self.at])
            && !self.flags.synced
            && self.flags.made != self.n
            && let Some(slot) = recipe.free_slot()
        {
            self.keep(r, slot)?;
            self.flags.recipe = Some(recipe.renamed(r, slot));
            return Ok(());
        }
        if self.flags.deferred {
            if wanted {
                self.spill_flags()?;
                self.flags.host = 0;
            } else {
                self.flags = State::in_memory();
            }
        }
        self.flags.recipe = None;
        Ok(())
    }

    /// All flags to memory. EFLAGS stay valid if they could be stored as they are.
    pub(super) fn spill_flags(&mut self) -> Low<()> {
        if self.flags.synced {
            return Ok(());
        }
        let t = self.fresh()?;
        if let Some(r) = self.pending() {
            let stay = self.cook_to_memory(r, t);
            self.void_recipe();
            self.flags.host = if stay { fl::ALL } else { 0 };
            self.flags.deferred = false;
            self.flags.synced = true;
        } else {
            self.spill_through(t)?;
        }
        self.give(t);
        Ok(())
    }

    fn spill_through(&mut self, t: R) -> Low<()> {
        let host = self.flags.host;
        if host & !fl::C == 0 {
            // CF alone, or nothing: no LAHF.
            if host != 0 {
                self.asm.setcc(2, t);
                self.asm.alu_imm(4, 1, field::plus(field::flags(), 1), !1);
                self.asm.alu_rm_r(1, 1, field::plus(field::flags(), 1), t);
                self.void_recipe();
            }
            self.flags = State::in_memory();
            return Ok(());
        }
        self.asm.mov(8, t, R::RAX);
        self.asm.setcc(0, R::RAX);
        self.asm.lahf();
        if host != fl::ALL {
            self.merge(host)?;
            self.flags.host = 0;
        }
        self.asm.store(2, field::flags(), R::RAX);
        self.asm.mov(8, R::RAX, t);
        self.void_recipe();
        self.flags.synced = true;
        Ok(())
    }

    /// After a shift or rotation that has just set EFLAGS, on a host that has undefined flags otherwise than both engines:
    /// AX becomes their memory form, RAX goes to `u`. `result` is where the result is.
    pub(super) fn settle(&mut self, of: Overflow, rotate: bool, w: u8, result: Rm, u: R) {
        let result = if result == Rm::Reg(R::RAX) { Rm::Reg(u) } else { result };
        // There is no BT of bytes; registers in memory are eight bytes.
        let (top, w) = (8 * w - 1, w.max(4));
        self.asm.mov(8, u, R::RAX);
        if of == Overflow::Host {
            self.asm.setcc(0, R::RAX);
        }
        self.asm.lahf();
        match of {
            Overflow::Host => {}
            Overflow::Clear => self.asm.bytes.extend([0xb0, 0]), // mov al, 0
            Overflow::SignCarry => {
                // mov al, ah; shr al, 7; xor al, ah; and al, 1
                self.asm.bytes.extend([0x88, 0xe0, 0xc0, 0xe8, 7, 0x30, 0xe0, 0x24, 1]);
            }
            Overflow::TopCarry => {
                self.asm.bit_imm(4, w, result, top);
                self.asm.setcc(2, R::RAX);
                self.asm.bytes.extend([0x30, 0xe0, 0x24, 1]); // xor al, ah; and al, 1
            }
            Overflow::TopTwo => {
                self.asm.bit_imm(4, w, result, top);
                self.asm.setcc(2, R::RAX);
                self.asm.bit_imm(4, w, result, top - 1);
                self.asm.bytes.extend([0x14, 0, 0x24, 1]); // adc al, 0; and al, 1
            }
        }
        if !rotate {
            self.asm.bytes.extend([0x80, 0xcc, 0x10]); // or ah, 10h: AF
        }
    }

    /// The same, for EFLAGS; `u` is a free temporary, and RAX is as before.
    pub(super) fn settle_host(&mut self, of: Overflow, rotate: bool, w: u8, result: Rm, u: R) {
        self.settle(of, rotate, w, result, u);
        self.ax_to_host();
        self.asm.mov(8, R::RAX, u);
    }

    /// The same, for memory.
    pub(super) fn settle_memory(&mut self, of: Overflow, w: u8, result: Rm, u: R) {
        self.settle(of, false, w, result, u);
        self.asm.store(2, field::flags(), R::RAX);
        self.asm.mov(8, R::RAX, u);
    }

    /// Takes the flags that EFLAGS did not hold from memory into AX.
    fn merge(&mut self, host: u8) -> Low<()> {
        let u = self.fresh()?;
        self.asm.alu_imm(4, 4, R::RAX, memory_mask(host) as i32);
        self.asm.movzx(2, u, field::flags());
        self.asm.alu_imm(4, 4, u, (memory_mask(fl::ALL) & !memory_mask(host)) as i32);
        self.asm.alu_rm_r(1, 4, R::RAX, u);
        self.give(u);
        Ok(())
    }

    /// Before host code after which only its own results in EFLAGS count.
    pub(super) fn clobber_all(&mut self) -> Low<()> {
        self.spill_flags()?;
        self.flags.host = 0;
        Ok(())
    }

    /// Before host code that destroys EFLAGS.
    pub(super) fn clobber(&mut self) -> Low<()> {
        self.materialize_conds()?;
        if !self.flags.synced && self.flags.host & self.facts.live[self.at] != 0 && !self.defer() {
            self.spill_flags()?;
        }
        self.flags.host = 0;
        Ok(())
    }

    /// Before an operation that may leave the block, and destroys EFLAGS.
    pub(super) fn expose(&mut self) -> Low<()> {
        self.materialize_conds()?;
        if !self.defer() {
            self.spill_flags()?;
        }
        self.flags.host = 0;
        Ok(())
    }

    /// Conditions still to be computed become values, since EFLAGS go.
    fn materialize_conds(&mut self) -> Low<()> {
        for v in 0..self.at {
            if matches!(self.loc[v], Loc::Cond(_)) && self.facts.last[v] >= self.at as u32 {
                self.temp(Val(v as u32))?;
            }
        }
        Ok(())
    }

    /// Makes sure that EFLAGS hold the flags in `need`.
    pub(super) fn need(&mut self, need: u8) -> Low<()> {
        if need & !self.flags.host == 0 {
            return Ok(());
        }
        if let Some(r) = self.pending().filter(|r| r.then.is_none()) {
            let t = self.fresh()?;
            self.cook(r, t);
            self.give(t);
            self.flags.host = fl::ALL;
            self.flags.deferred = false;
            return Ok(());
        }
        self.spill_flags()?;
        if need == fl::C {
            // CF is bit 8 of the memory form.
            self.asm.bit_imm(4, 2, field::flags(), 8);
            self.flags.host = fl::C;
            return Ok(());
        }
        self.load_flags()
    }

    pub(super) fn need_for_cond(&mut self, c: u8) -> Low<()> {
        self.need(cond_reads(Cond(c)))
    }

    /// All flags from memory into EFLAGS.
    fn load_flags(&mut self) -> Low<()> {
        let t = self.fresh()?;
        self.asm.mov(8, t, R::RAX);
        self.flags_to_host();
        self.asm.mov(8, R::RAX, t);
        self.give(t);
        self.flags.host = fl::ALL;
        Ok(())
    }

    /// The same by way of RAX, which the caller keeps.
    pub(super) fn flags_to_host(&mut self) {
        self.asm.movzx(2, R::RAX, field::flags());
        self.ax_to_host();
    }

    fn ax_to_host(&mut self) {
        // OF: 1 + 7Fh overflows.
        self.asm.alu_imm(0, 1, R::RAX, 0x7f);
        self.asm.sahf();
    }

    /// The flags as a value with RFLAGS' places.
    pub(super) fn read_flags(&mut self) -> Low<()> {
        self.expose()?;
        let t = self.fresh()?;
        let u = self.fresh()?;
        self.asm.movzx(1, t, field::plus(field::flags(), 1));
        self.asm.alu_imm(4, 4, t, 0xd5);
        self.asm.movzx(1, u, field::flags());
        self.asm.shift_imm(4, 4, u, 11);
        self.asm.alu_rm_r(1, 4, t, u);
        self.give(u);
        self.result(t, 8, true);
        Ok(())
    }

    /// Replaces the flags in `mask` (RFLAGS' places).
    pub(super) fn write_flags(&mut self, mask: u64, v: Val) -> Low<()> {
        let some = from_rflags(mask);
        if mask & flag::DF != 0 {
            // DF is not among those that EFLAGS hold here: it stays in the processor's RFLAGS.
            let Some(c) = self.constant(v) else { return self.refuse() };
            self.clobber()?;
            let n = if c & flag::DF != 0 { 1 } else { 4 };
            let imm = if n == 1 { flag::DF as i32 } else { !(flag::DF as i32) };
            self.asm.alu_imm(n, 8, field::rflags(), imm);
            self.asm.store_imm(8, field::direction(), if n == 1 { -1 } else { 1 });
            if some == 0 {
                return Ok(());
            }
        }
        if self.constant(v).is_none() {
            self.temp(v)?;
        }
        self.expose()?;
        let keep = memory_mask(fl::ALL & !some);
        if let Some(c) = self.constant(v) {
            let bits = memory_mask(from_rflags(c & mask));
            if keep != memory_mask(fl::ALL) {
                self.asm.alu_imm(4, 2, field::flags(), (keep | 0x0200) as u16 as i16 as i32);
            }
            if bits != 0 {
                self.asm.alu_imm(1, 2, field::flags(), bits as u16 as i16 as i32);
            }
        } else {
            let t = self.copy(v)?;
            let u = self.fresh()?;
            self.asm.alu_imm(4, 8, t, mask as i32);
            self.asm.mov(4, u, t);
            self.asm.shift_imm(5, 4, u, 11);
            self.asm.alu_imm(4, 4, u, 1);
            self.asm.alu_imm(4, 4, t, 0xd5);
            self.asm.shift_imm(4, 4, t, 8);
            self.asm.alu_rm_r(1, 4, t, u);
            self.asm.alu_imm(4, 2, field::flags(), keep as u16 as i16 as i32);
            self.asm.alu_rm_r(1, 2, field::flags(), t);
            self.give(t);
            self.give(u);
        }
        Ok(())
    }
}
