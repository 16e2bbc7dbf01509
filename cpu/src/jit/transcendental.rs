//! Transcendental x87 instructions in translated code. They are computed in Rust, in integers ([`crate::fpu::transcendental`]),
//! but the guest's register stack stays in the host's unit: only the operands leave it and only the results enter. Moving the
//! whole state by FNSAVE and FRSTOR costs as much as the computation.
//!
//! The last result enters by an addition of an eighth of a unit in its last place, or of zero. The sum rounds to the result again,
//! and raises PE and sets C1 as the instruction does (Intel SDM volume 1, sections 4.9.1.6 and 8.1.3.3). What this can't
//! do (stack faults, flags other than PE) is refused with the unit as it was, for shared code.

use super::encode::{Asm, Mem, R};
use super::regs::field;
use super::stubs::CALLER_SAVED;
use crate::fpu::float::ex;
use crate::fpu::soft::{C1, Out};
use crate::fpu::unit::ONE;
use crate::fpu::{sw, transcendental as tr};
use crate::state::F80;
use std::mem::offset_of;

/// The instructions.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shared {
    Sin,
    Cos,
    SinCos,
    Tan,
    Atan,
    Exp,
    Log,
    LogPlusOne,
}

const ALL: [Shared; 8] = {
    use Shared::*;
    [Sin, Cos, SinCos, Tan, Atan, Exp, Log, LogPlusOne]
};

/// What becomes of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// ST(0) is replaced.
    Replaces,
    /// ST(0) is replaced, and another result pushed.
    Pushes,
    /// ST(1) is replaced, and ST(0) popped.
    Pops,
}

/// All of them, in the order of their numbers.
pub const FORMS: [Form; 3] = [Form::Replaces, Form::Pushes, Form::Pops];

impl Shared {
    /// What it does to the stack.
    pub fn form(self) -> Form {
        match self {
            Shared::Sin | Shared::Cos | Shared::Exp => Form::Replaces,
            Shared::SinCos | Shared::Tan => Form::Pushes,
            Shared::Atan | Shared::Log | Shared::LogPlusOne => Form::Pops,
        }
    }

    /// Whether it clears C2.
    fn clears_c2(self) -> bool {
        matches!(self, Shared::Sin | Shared::Cos | Shared::SinCos | Shared::Tan)
    }
}

/// What passes between the unit and [`compute`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Exchange {
    /// ST(0) and ST(1).
    operands: [F80; 2],
    /// What ST(0) becomes, and what the other result is.
    results: [F80; 2],
    /// What is added to ST(0) at the end: a double.
    fraction: u64,
    /// The guest's control word.
    cw: u16,
    /// The status word before.
    sw: u16,
    /// The control word for the addition: to the nearest, 64 bits, nothing unmasked.
    home: u16,
}

impl Default for Exchange {
    fn default() -> Exchange {
        let none = [F80::default(); 2];
        Exchange { operands: none, results: none, fraction: 0, cw: 0, sw: 0, home: 0x37f }
    }
}

/// Bits of what [`compute`] returns. Zero: shared code has to do it.
mod answer {
    /// The results are there.
    pub const DONE: i32 = 1;
    /// C2 is to be cleared.
    pub const CLEARS_C2: i32 = 2;
    /// The control word is another than [`super::Exchange::home`].
    pub const CONTROL: i32 = 4;
}

/// Computes the instruction of number `op` on the operands exchanged; yields bits of [`answer`].
pub(super) fn compute(e: &mut Exchange, op: u64) -> u64 {
    let op = ALL[op as usize & 7];
    let ([a, b], cw) = (e.operands, e.cw);
    let done = match op {
        Shared::Sin => tr::sin(a, cw).map(|r| (r, r.val)),
        Shared::Cos => tr::cos(a, cw).map(|r| (r, r.val)),
        // C1 is about the sine, which ends up in ST(1).
        Shared::SinCos => {
            tr::sincos(a, cw).map(|(s, c)| (Out { flags: s.flags | c.flags & ex::ALL, ..s }, c.val))
        }
        Shared::Tan => tr::tan(a, cw).map(|t| (t, if t.val.se & 0x7fff == 0x7fff { t.val } else { ONE })),
        Shared::Atan => Some(tr::patan(b, a, cw)).map(|r| (r, r.val)),
        Shared::Exp => Some(tr::f2xm1(a, cw)).map(|r| (r, r.val)),
        Shared::Log => Some(tr::yl2x(b, a, cw)).map(|r| (r, r.val)),
        Shared::LogPlusOne => Some(tr::yl2xp1(b, a, cw)).map(|r| (r, r.val)),
    };
    let Some((out, top)) = done else { return 0 };
    let Some(fraction) = fraction(out.flags, top) else { return 0 };
    e.results = [top, out.val];
    e.fraction = fraction;
    let mut answer = answer::DONE;
    if op.clears_c2() {
        answer |= answer::CLEARS_C2;
    }
    if cw | 0x40 != e.home {
        answer |= answer::CONTROL;
    }
    answer as u64
}

/// The double whose addition to `top` leaves it, sets C1 as in `flags` and raises its exceptions, if there is one.
fn fraction(flags: u16, top: F80) -> Option<u64> {
    const ZERO: u64 = 1 << 63;
    let (sign, exponent) = (top.se >> 15, top.se & 0x7fff);
    if flags == 0 {
        // To add -0 changes nothing, not even +0 or -0. A denormal would raise DE.
        return (exponent != 0 || top.mant == 0).then_some(ZERO);
    }
    if flags & !(ex::PE | C1) != 0 || flags & ex::PE == 0 {
        return None;
    }
    // 2^-66 of its exponent, if a double has that. Away from zero, for a result that was rounded towards it.
    let biased = u64::from(exponent).checked_sub(16383 + 66 - 1023).filter(|e| (1..2047).contains(e))?;
    let sign = u64::from(sign) ^ u64::from(flags & C1 != 0);
    Some(sign << 63 | biased << 52)
}

/// x87 instructions on memory: opcode and its extension.
mod op {
    pub const FLDENV: (u8, u8) = (0xd9, 4);
    pub const FLDCW: (u8, u8) = (0xd9, 5);
    pub const FNSTENV: (u8, u8) = (0xd9, 6);
    pub const FNSTCW: (u8, u8) = (0xd9, 7);
    pub const FLD_M80: (u8, u8) = (0xdb, 5);
    pub const FSTP_M80: (u8, u8) = (0xdb, 7);
    pub const FADD_M64: (u8, u8) = (0xdc, 0);
}

fn on(a: &mut Asm, (opcode, reg): (u8, u8), m: Mem) {
    a.op(0, false, &[], opcode, reg, m.into(), false, false);
}

/// FNSTSW AX; ZF clear if there has been a stack fault.
fn stack_fault(a: &mut Asm) {
    a.two(0xdf, 0xe0);
    a.test_imm(2, R::RAX, i32::from(sw::SF));
}

/// The status word in the image of FNSTENV, in 64-bit code.
const STATUS: i32 = 4;

/// The code for an instruction of this form, whose number is in R14; `call` calls [`compute`]. ZF set: done. Keeps all
/// registers.
pub(super) fn stub(a: &mut Asm, form: Form, call: impl Fn(&mut Asm)) {
    let at = |offset: usize| field::plus(field::exchange(), offset as i32);
    let operand = |n: usize| at(offset_of!(Exchange, operands) + n * size_of::<F80>());
    let result = |n: usize| at(offset_of!(Exchange, results) + n * size_of::<F80>());
    let (control, status) = (at(offset_of!(Exchange, cw)), at(offset_of!(Exchange, sw)));
    let image = field::fpu_image();
    let (refuse, give_back, first, out) = (a.label(), a.label(), a.label(), a.label());
    let (second, overflow) = (a.label(), a.label());
    // With the return address that is ten words.
    for r in CALLER_SAVED {
        a.push(r);
    }
    // SF stays once it is set: then nothing tells of a fault.
    stack_fault(a);
    a.jcc(5, refuse);
    a.store(2, status, R::RAX);
    on(a, op::FNSTCW, control);
    on(a, op::FSTP_M80, operand(0));
    stack_fault(a);
    a.jcc(5, first);
    if form == Form::Pops {
        on(a, op::FSTP_M80, operand(1));
        stack_fault(a);
        a.jcc(5, second);
    }
    a.mov(8, R::RSI, R::R14);
    call(a);
    a.test(4, R::RAX, R::RAX);
    a.jcc(4, give_back);
    if form != Form::Pops {
        let clear = a.label();
        a.test_imm(4, R::RAX, answer::CLEARS_C2);
        a.jcc(4, clear);
        a.test_imm(2, status, i32::from(sw::C2));
        a.jcc(4, clear);
        on(a, op::FNSTENV, image);
        a.alu_imm(4, 4, field::plus(image, STATUS), !i32::from(sw::C2));
        on(a, op::FLDENV, image);
        a.bind(clear);
    }
    if form == Form::Pushes {
        on(a, op::FLD_M80, result(1));
    }
    on(a, op::FLD_M80, result(0));
    if form == Form::Pushes {
        a.mov(4, R::RDX, R::RAX);
        stack_fault(a);
        a.jcc(5, overflow);
        a.mov(4, R::RAX, R::RDX);
    }
    let (other, done) = (a.label(), a.label());
    a.test_imm(4, R::RAX, answer::CONTROL);
    a.jcc(5, other);
    on(a, op::FADD_M64, at(offset_of!(Exchange, fraction)));
    a.jmp(done);
    a.bind(other);
    on(a, op::FLDCW, at(offset_of!(Exchange, home)));
    on(a, op::FADD_M64, at(offset_of!(Exchange, fraction)));
    on(a, op::FLDCW, control);
    a.bind(done);
    a.alu_rm_r(7, 4, R::RAX, R::RAX);
    a.jmp(out);

    // Nothing has come of it but that the operands are out of the unit.
    a.bind(give_back);
    if form == Form::Pops {
        on(a, op::FLD_M80, operand(1));
    }
    on(a, op::FLD_M80, operand(0));
    a.jmp(refuse);
    // A result stands where the operand was. What was in ST(7) is lost, as it is by the fault itself.
    a.bind(overflow);
    let restore = |a: &mut Asm| {
        on(a, op::FNSTENV, image);
        a.movzx(2, R::RAX, status);
        a.store(2, field::plus(image, STATUS), R::RAX);
        on(a, op::FLDENV, image);
    };
    if form == Form::Pushes {
        restore(a);
        a.two(0xdd, 0xd8); // FSTP ST(0)
        on(a, op::FLD_M80, operand(0));
        a.jmp(refuse);
    }
    // ST(1) is empty: what was ST(0) goes back below it.
    a.bind(second);
    if form == Form::Pops {
        a.two(0xd9, 0xf6); // FDECSTP
        on(a, op::FLD_M80, operand(0));
    }
    a.bind(first);
    restore(a);
    a.bind(refuse);
    a.test(8, R::RSP, R::RSP);
    a.bind(out);
    for r in CALLER_SAVED.iter().rev() {
        a.pop(*r);
    }
    a.ret();
}
