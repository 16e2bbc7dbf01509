//! Status flags while lowering: some in host EFLAGS, the rest in [`Scratch::flags`](super::super::regs::Scratch).
//!
//! The memory form is what `SETO AL; LAHF` leaves in AX: byte 0 OF, byte 1 SF ZF 0 AF 0 PF 1 CF.

use super::{Loc, Low, Lower};
use crate::insn::Insn;
use crate::interp::flags;
use crate::jit::encode::{R, Rm};
use crate::jit::ir::Val;
use crate::jit::passes::{cond_reads, effect, fl, from_rflags};
use crate::jit::regs::field;
use crate::ops::Cond;
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
    /// They are nowhere, only cold code may still want them: `recipe` makes them.
    pub deferred: bool,
}

impl State {
    pub fn in_memory() -> State {
        State { host: 0, synced: true, recipe: None, deferred: false }
    }
}

/// An operation on guest registers that gives the flags once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The operation.
    pub how: How,
    /// Bytes.
    pub w: u8,
    /// First operand, or register with the result; [`HELD`].
    pub a: u8,
    /// Second operand.
    pub b: Second,
}

/// Number of the operand in [`Scratch::held`](crate::jit::regs::Scratch) among registers.
pub const HELD: u8 = 16;

/// The kinds of [`Recipe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// CMP a, b.
    Cmp,
    /// TEST a, b.
    Test,
    /// ADD whose result is in `a`.
    Added,
    /// SUB whose result is in `a`.
    Subtracted,
}

/// Second operand of a [`Recipe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// A register, or [`HELD`].
    Guest(u8),
    /// A constant.
    Imm(i32),
}

impl Recipe {
    fn uses(&self, r: u8) -> bool {
        self.a == r || self.b == Second::Guest(r)
    }

    /// A bit for each guest register that it needs as it was.
    pub fn inputs(&self) -> u16 {
        let bit = |r: u8| if r < 16 { 1 << r } else { 0 };
        let b = match self.b {
            Second::Guest(r) => bit(r),
            Second::Imm(_) => 0,
        };
        bit(self.a) | b
    }

    /// As a number that translated code leaves in [`Scratch::recipe`](crate::jit::regs::Scratch): not zero. `None` where a
    /// constant is too wide for it.
    pub fn number(&self) -> Option<u32> {
        let b = match self.b {
            Second::Guest(r) => u32::from(r),
            Second::Imm(c) => u32::from(i16::try_from(c).ok()? as u16) | 1 << 16,
        };
        let w = u32::from(self.w.trailing_zeros() as u8);
        Some(1 << 31 | (self.how as u32) << 24 | w << 22 | u32::from(self.a) << 17 | b)
    }

    /// The recipe behind a number.
    pub fn from_number(n: u32) -> Recipe {
        let how = [How::Cmp, How::Test, How::Added, How::Subtracted][(n >> 24 & 3) as usize];
        let b =
            if n >> 16 & 1 != 0 { Second::Imm(i32::from(n as u16 as i16)) } else { Second::Guest(n as u8) };
        Recipe { how, w: 1 << (n >> 22 & 3), a: (n >> 17 & 31) as u8, b }
    }

    /// The status flags, with RFLAGS' places, from the values of registers and of the held operand.
    pub fn make(&self, value: impl Fn(u8) -> u64) -> u64 {
        let w = self.w;
        let a = value(self.a) & Insn::mask(w);
        let b = match self.b {
            Second::Guest(r) => value(r),
            Second::Imm(c) => c as i64 as u64,
        } & Insn::mask(w);
        let (_, f) = match self.how {
            How::Cmp => flags::sub(w, a, b, 0),
            How::Test => (0, flags::Flags::logic(w, a & b)),
            How::Added => flags::add(w, a.wrapping_sub(b) & Insn::mask(w), b, 0),
            How::Subtracted => flags::sub(w, a.wrapping_add(b) & Insn::mask(w), b, 0),
        };
        f.bits()
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

    /// Makes the flags in EFLAGS again, by way of `t`.
    pub(super) fn cook(&mut self, r: Recipe, t: R) {
        let a = self.input(r.a);
        let n = match r.how {
            How::Test => {
                self.asm.load(r.w, t, a);
                match r.b {
                    Second::Imm(c) => self.asm.test_imm(r.w, t, c),
                    Second::Guest(b) => {
                        let b = self.input(b);
                        self.asm.test(r.w, b, t);
                    }
                }
                return;
            }
            How::Cmp => 7,
            How::Added => 0,
            How::Subtracted => 5,
        };
        self.asm.load(r.w, t, a);
        let steps: &[u8] = match r.how {
            How::Added => &[5, 0],
            How::Subtracted => &[0, 5],
            _ => &[n],
        };
        for &n in steps {
            match r.b {
                Second::Imm(c) => self.asm.alu_imm(n, r.w, t, c),
                Second::Guest(b) => {
                    let b = self.input(b);
                    self.asm.alu_r_rm(n, r.w, t, b);
                }
            }
        }
    }

    fn input(&self, r: u8) -> Rm {
        if r == HELD { field::held().into() } else { self.guest_rm(r) }
    }

    /// As [`Lower::cook`], and stores them; for cold code, where R14 is free.
    pub(super) fn cook_cold(&mut self, r: Option<Recipe>) {
        let Some(r) = r else { return };
        self.cook(r, R::R14);
        self.asm.mov(8, R::R14, R::RAX);
        self.asm.setcc(0, R::RAX);
        self.asm.lahf();
        self.asm.store(2, field::flags(), R::RAX);
        self.asm.mov(8, R::RAX, R::R14);
        self.asm.store_imm(4, field::recipe(), 0);
    }

    /// Memory holds the flags now: the recipe that the block may have been entered with is void.
    fn void_recipe(&mut self) {
        if !self.needs_flags {
            self.asm.store_imm(4, field::recipe(), 0);
        }
    }

    /// At the end of a block whose links can tell what their targets need: leaves the recipe instead of the flags. EFLAGS
    /// keep them.
    pub(super) fn leave_recipe(&mut self) -> Low<()> {
        let st = self.flags;
        let number = st.recipe.and_then(|r| r.number());
        let known = !st.synced && (st.host == fl::ALL || st.deferred);
        if let (true, Some(n), Some(r)) = (known, number, st.recipe) {
            self.asm.store_imm(4, field::recipe(), n as i32);
            self.left = Some(r);
            return Ok(());
        }
        self.spill_flags()
    }

    /// EFLAGS are about to be destroyed, and nobody but cold code wants the flags: whether that can make them itself.
    fn defer(&mut self) -> bool {
        let at = self.at;
        let (reads, kills) = effect(&self.ops[at], |v| self.constant(v));
        let read = self.facts.read[at] & !kills | reads;
        let st = &mut self.flags;
        if st.deferred {
            return self.may_defer;
        }
        let can = self.may_defer && !st.synced && st.host == fl::ALL && st.recipe.is_some() && read == 0;
        if can {
            st.deferred = true;
        }
        can
    }

    /// Guest register `r` is about to change.
    pub(super) fn changes_input(&mut self, r: u8) -> Low<()> {
        if !self.flags.recipe.is_some_and(|k| k.uses(r)) {
            return Ok(());
        }
        if self.flags.deferred {
            let (_, kills) = effect(&self.ops[self.at], |v| self.constant(v));
            if self.facts.exposed[self.at] && kills != fl::ALL {
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
            self.cook(r, t);
            self.flags.host = fl::ALL;
            self.flags.deferred = false;
        }
        self.spill_through(t)?;
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
        if let Some(r) = self.pending() {
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
            self.asm.alu_imm(n, 4, field::rflags(), imm);
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
