//! Recipes: how the status flags are made once more from what they came from.

use super::Lower;
use super::flags::Overflow;
use crate::insn::Insn;
use crate::interp::flags;
use crate::jit::encode::{R, Rm};
use crate::jit::regs::{HELD_SLOTS, field};
use crate::ops::Shift;
use crate::state::flag;

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
    /// What has changed CF and OF since.
    pub then: Option<Then>,
}

/// The last operation that changed CF and OF only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// A product: [`Scratch::product`](crate::jit::regs::Scratch) says whether it was too long.
    Product,
    /// ROL whose result is in register `a`, `w` bytes.
    Left {
        #[allow(missing_docs)]
        a: u8,
        #[allow(missing_docs)]
        w: u8,
    },
    /// ROR likewise.
    Right {
        #[allow(missing_docs)]
        a: u8,
        #[allow(missing_docs)]
        w: u8,
    },
}

impl Then {
    /// The register with the result.
    fn input(self) -> Option<u8> {
        match self {
            Then::Product => None,
            Then::Left { a, .. } | Then::Right { a, .. } => Some(a),
        }
    }

    fn renamed(self, r: u8, to: u8) -> Then {
        let of = |a| if a == r { to } else { a };
        match self {
            Then::Product => self,
            Then::Left { a, w } => Then::Left { a: of(a), w },
            Then::Right { a, w } => Then::Right { a: of(a), w },
        }
    }
}

/// Number of the first operand in [`Scratch::held`](crate::jit::regs::Scratch) among registers.
pub const HELD: u8 = 16;

/// The slot of the first operand of an addition with carry, and of the CF that INC or DEC leaves.
pub const CARRIED: u8 = 1;
/// Second operand of [`How::Incremented`] and [`How::Decremented`]: CF is bit 0 of slot [`CARRIED`].
pub const CARRY_KEPT: i32 = 0;
/// The same: CF is in the flags as they were stored before.
pub const CARRY_STORED: i32 = 1;

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
    /// INC whose result is in `a`; `b` says where CF is.
    Incremented,
    /// DEC likewise.
    Decremented,
    /// None: they are as they were stored.
    Stored,
}

impl How {
    const ALL: [How; 13] = [
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
        How::Incremented,
        How::Decremented,
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
    /// The flags are as they were stored.
    pub(super) const STORED: Recipe =
        Recipe { how: How::Stored, w: 1, a: u8::MAX, b: Second::Imm(0), then: None };

    pub(super) fn uses(&self, r: u8) -> bool {
        self.a == r || self.b == Second::Guest(r) || self.then.and_then(Then::input) == Some(r)
    }

    /// With slot `slot` in place of register `r`.
    pub(super) fn renamed(self, r: u8, slot: u8) -> Recipe {
        let held = HELD + slot;
        let b = if self.b == Second::Guest(r) { Second::Guest(held) } else { self.b };
        let then = self.then.map(|t| t.renamed(r, held));
        Recipe { a: if self.a == r { held } else { self.a }, b, then, ..self }
    }

    /// Its constant, if that is too wide for its number and nothing else is.
    pub(super) fn wide(&self) -> Option<i32> {
        match self.b {
            Second::Imm(c) if i16::try_from(c).is_err() && self.then.is_none() => Some(c),
            _ => None,
        }
    }

    /// A slot that it doesn't use.
    pub(super) fn free_slot(&self) -> Option<u8> {
        let kept = self.b == Second::Imm(CARRY_KEPT);
        let carried = match self.how {
            How::Carried | How::Borrowed => true,
            How::Incremented | How::Decremented => kept,
            _ => false,
        };
        let taken = |n: u8| self.uses(HELD + n) || carried && n == CARRIED;
        (0..HELD_SLOTS as u8).find(|&n| !taken(n))
    }

    /// The number of the same recipe with slots in place of all registers, and what goes to which slot. `None` if it reads none,
    /// or more than there are slots for.
    pub(super) fn in_slots(&self) -> Option<(u32, Vec<(u8, u8)>)> {
        let (mut kept, mut moves) = (*self, Vec::new());
        for r in (0..HELD).filter(|r| self.inputs() >> r & 1 != 0) {
            let slot = kept.free_slot()?;
            kept = kept.renamed(r, slot);
            moves.push((r, slot));
        }
        (!moves.is_empty()).then_some((kept.number()?, moves))
    }

    /// A bit for each guest register that it needs as it was.
    pub fn inputs(&self) -> u16 {
        let bit = |r: u8| if r < 16 { 1 << r } else { 0 };
        let b = match self.b {
            Second::Guest(r) => bit(r),
            Second::Imm(_) => 0,
        };
        bit(self.a) | b | self.then.and_then(Then::input).map_or(0, bit)
    }

    /// As a number that translated code leaves in [`Scratch::recipe`](crate::jit::regs::Scratch): not zero. `None` where a
    /// constant is too wide for it, or where it has two steps.
    pub fn number(&self) -> Option<u32> {
        if self.then.is_some() || self.how == How::Stored {
            return None;
        }
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
        Recipe { how, w: 1 << (n >> 22 & 3), a: (n >> 17 & 31) as u8, b, then: None }
    }

    /// The status flags, with RFLAGS' places, from the values of registers and of the held operand.
    /// `stored`: the flags before, for those that keep some.
    pub fn make(&self, value: impl Fn(u8) -> u64, stored: u64) -> u64 {
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
            How::Incremented | How::Decremented => {
                let kept = self.b == Second::Imm(CARRY_KEPT);
                let carry = if kept { value(HELD + CARRIED) } else { stored } & flag::CF;
                let (_, f) = if self.how == How::Incremented {
                    flags::add(w, a.wrapping_sub(1) & Insn::mask(w), 1, 0)
                } else {
                    flags::sub(w, a.wrapping_add(1) & Insn::mask(w), 1, 0)
                };
                return f.bits() & !flag::CF | carry;
            }
            How::Stored => return stored,
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
            How::Incremented | How::Decremented => {
                let down = u8::from(r.how == How::Decremented);
                self.asm.load(r.w, t, a);
                self.asm.incdec(1 - down, r.w, t);
                if r.b == Second::Imm(CARRY_KEPT) {
                    self.asm.bit_imm(4, 4, first, 0);
                } else {
                    self.asm.bit_imm(4, 2, field::flags(), 8);
                }
                self.asm.incdec(down, r.w, t);
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
            // Only ever made in memory.
            How::Stored => return,
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

    /// CF and OF in memory, of the last operation that changed no other flag; destroys EFLAGS.
    pub(super) fn cook_then(&mut self, then: Then, t: R) {
        let (low, high) = (field::flags(), field::plus(field::flags(), 1));
        let (a, w, turn) = match then {
            Then::Product => {
                self.asm.movzx(1, t, field::product());
                self.asm.store(1, low, t);
                self.asm.alu_imm(4, 1, high, !1);
                self.asm.alu_rm_r(1, 1, high, t);
                return;
            }
            Then::Left { a, w } => (a, w, 1),
            Then::Right { a, w } => (a, w, 2),
        };
        // Left: CF is the bottom bit, OF that xor the top bit. Right: CF is the top bit, OF that xor the one below.
        let a = self.input(a);
        self.asm.movzx(w, t, a);
        self.asm.shift_imm(0, w, t, turn);
        self.asm.store(1, low, t);
        self.asm.shift_imm(5, 4, t, 1);
        self.asm.alu_imm(4, 4, t, 1);
        self.asm.alu_rm_r(6, 1, low, t);
        self.asm.alu_imm(4, 1, low, 1);
        self.asm.alu_imm(4, 1, high, !1);
        self.asm.alu_rm_r(1, 1, high, t);
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
