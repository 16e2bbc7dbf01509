//! Recipes: how the status flags are made once more from what they came from.

use super::Lower;
use super::flags::Overflow;
use crate::insn::Insn;
use crate::interp::flags;
use crate::jit::encode::{R, Rm};
use crate::jit::regs::{HELD_SLOTS, field};
use crate::ops::Shift;

/// The encoding's numbers of ALU operations.
const ADD: u8 = 0;
const ADC: u8 = 2;
const SBB: u8 = 3;
const SUB: u8 = 5;
const CMP: u8 = 7;

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

/// Number of the first operand in [`Scratch::held`](crate::jit::regs::Scratch) among registers.
pub const HELD: u8 = 16;

/// The slot of the first operand of an addition with carry.
pub const CARRIED: u8 = 1;

/// A register whose content a recipe finds in a slot from some instruction on, because that changes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// The instruction.
    pub n: u16,
    pub slot: u8,
    pub r: u8,
}

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
    /// SUB whose result is in `a`, from `b`.
    Taken,
    /// ADC of `b` whose result is in `a`, to what is in slot [`CARRIED`].
    Carried,
    /// SBB likewise.
    Borrowed,
    /// NEG whose result is in `a`.
    Negated,
    /// SHL of `a` by the constant `b`.
    Shl,
    /// SHR likewise.
    Shr,
    /// SAR likewise.
    Sar,
}

impl How {
    const ALL: [How; 11] = [
        How::Cmp,
        How::Test,
        How::Added,
        How::Subtracted,
        How::Taken,
        How::Carried,
        How::Borrowed,
        How::Negated,
        How::Shl,
        How::Shr,
        How::Sar,
    ];

    fn shift(self) -> Shift {
        match self {
            How::Shl => Shift::Shl,
            How::Shr => Shift::Shr,
            _ => Shift::Sar,
        }
    }
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
    pub(super) fn uses(&self, r: u8) -> bool {
        self.a == r || self.b == Second::Guest(r)
    }

    /// With slot `slot` in place of register `r`.
    pub(super) fn renamed(self, r: u8, slot: u8) -> Recipe {
        let held = HELD + slot;
        let b = if self.b == Second::Guest(r) { Second::Guest(held) } else { self.b };
        Recipe { a: if self.a == r { held } else { self.a }, b, ..self }
    }

    /// A slot that it doesn't use.
    pub(super) fn free_slot(&self) -> Option<u8> {
        let carried = matches!(self.how, How::Carried | How::Borrowed);
        let taken = |n: u8| self.uses(HELD + n) || carried && n == CARRIED;
        (0..HELD_SLOTS as u8).find(|&n| !taken(n))
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
        let how = How::ALL[(n >> 24 & 15) as usize % How::ALL.len()];
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
            How::Taken => flags::sub(w, b, b.wrapping_sub(a) & Insn::mask(w), 0),
            How::Carried | How::Borrowed => {
                let first = value(HELD + CARRIED) & Insn::mask(w);
                if self.how == How::Carried {
                    let carry = a.wrapping_sub(first).wrapping_sub(b) & Insn::mask(w);
                    flags::add(w, first, b, carry)
                } else {
                    let borrow = first.wrapping_sub(b).wrapping_sub(a) & Insn::mask(w);
                    flags::sub(w, first, b, borrow)
                }
            }
            How::Negated => flags::sub(w, 0, a.wrapping_neg() & Insn::mask(w), 0),
            // No flag of theirs is left as it was, and the count isn't zero.
            how @ (How::Shl | How::Shr | How::Sar) => {
                let none = flags::Flags::from_rflags(0);
                flags::shift(how.shift(), w, a, b, &none).unwrap_or((0, none))
            }
        };
        f.bits()
    }
}

impl Lower<'_> {
    /// Makes the flags in EFLAGS again, by way of `t`.
    pub(super) fn cook(&mut self, r: Recipe, t: R) {
        let a = self.input(r.a);
        let first = field::held(CARRIED);
        let steps: &[u8] = match r.how {
            How::Negated => {
                self.asm.load(r.w, t, a);
                self.asm.group3(3, r.w, t);
                self.asm.group3(3, r.w, t);
                return;
            }
            How::Shl | How::Shr | How::Sar => {
                if let Some(of) = self.cook_shift(r, t) {
                    self.settle_host(of, false, r.w, t.into(), t);
                }
                return;
            }
            How::Taken => {
                // What was taken, then the comparison.
                self.cook_step(SUB, r, t, true);
                let Second::Guest(b) = r.b else { return };
                let b = self.input(b);
                self.asm.alu_rm_r(CMP, r.w, b, t);
                return;
            }
            How::Carried => {
                self.asm.load(r.w, t, a);
                self.asm.alu_r_rm(SUB, r.w, t, first);
                self.cook_step(SUB, r, t, false);
                // What is left is the carry: into CF.
                self.asm.group3(3, r.w, t);
                self.asm.load(r.w, t, first);
                self.cook_step(ADC, r, t, false);
                return;
            }
            How::Borrowed => {
                self.asm.load(r.w, t, first);
                self.cook_step(SUB, r, t, false);
                self.asm.alu_r_rm(SUB, r.w, t, a);
                self.asm.group3(3, r.w, t);
                self.asm.load(r.w, t, first);
                self.cook_step(SBB, r, t, false);
                return;
            }
            How::Test => {
                let t = self.cook_first(r, t);
                match r.b {
                    Second::Imm(c) => self.asm.test_imm(r.w, t, c),
                    Second::Guest(b) => {
                        let b = self.input(b);
                        self.asm.test(r.w, b, t);
                    }
                }
                return;
            }
            How::Cmp => {
                let t = self.cook_first(r, t);
                self.cook_step(CMP, r, t, false);
                return;
            }
            How::Added => &[SUB, ADD],
            How::Subtracted => &[ADD, SUB],
        };
        self.asm.load(r.w, t, a);
        for &n in steps {
            self.cook_step(n, r, t, false);
        }
    }

    /// The same as far as the host's shift has the flags, if `r` is one; what OF must be is returned if that isn't all.
    pub(super) fn cook_shift(&mut self, r: Recipe, t: R) -> Option<Overflow> {
        let (How::Shl | How::Shr | How::Sar, Second::Imm(c)) = (r.how, r.b) else { return None };
        let (op, c) = (r.how.shift(), c as u8);
        let a = self.input(r.a);
        self.asm.load(r.w, t, a);
        self.asm.shift_imm(op as u8, r.w, t, c);
        (!self.common.exact.shifts).then(|| Overflow::after(op, Some(c)))
    }

    /// The first operand of a recipe that changes no operand, in a register: its own or `t`.
    fn cook_first(&mut self, r: Recipe, t: R) -> R {
        match self.input(r.a) {
            Rm::Reg(a) => a,
            m => {
                self.asm.load(r.w, t, m);
                t
            }
        }
    }

    /// `op t, b`; or (`reverse`) `t = b op a`.
    fn cook_step(&mut self, n: u8, r: Recipe, t: R, reverse: bool) {
        let second = if reverse {
            if let Second::Guest(b) = r.b {
                let b = self.input(b);
                self.asm.load(r.w, t, b);
            }
            Second::Guest(r.a)
        } else {
            r.b
        };
        match second {
            Second::Imm(c) => self.asm.alu_imm(n, r.w, t, c),
            Second::Guest(b) => {
                let b = self.input(b);
                self.asm.alu_r_rm(n, r.w, t, b);
            }
        }
    }

    fn input(&self, r: u8) -> Rm {
        if r >= HELD { field::held(r - HELD).into() } else { self.guest_rm(r) }
    }
}
