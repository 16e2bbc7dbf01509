//! Pairs: a comparison and the conditional jump behind it as one handler, so that the condition is computed while its
//! operands are at hand. Only register and immediate operands: nothing can come up between the two.

use super::Direct;
use crate::{
    insn::Insn,
    meaning::{
        alu::{Arith, Compare, One, Test},
        moves::Jcc,
        operand::{Imm, Rd, Rs},
    },
    ops::{Done, Meaning, Unary},
};
use iced_x86::{Instruction, Mnemonic as M, OpKind};

/// Runs the last two instructions of a block.
pub type Pair = for<'a, 'b, 'c> fn(&'a mut Direct<'b>, &'c Insn, &'c Insn) -> Done;

fn run<A: Meaning, const C: u8>(d: &mut Direct<'_>, a: &Insn, b: &Insn) -> Done {
    A::run(d, a)?;
    d.at += 1;
    Jcc::<C>::run(d, b)
}

macro_rules! by_condition {
    ($c:expr, $m:ty) => {
        match $c & 15 {
            0 => run::<$m, 0> as Pair,
            1 => run::<$m, 1> as Pair,
            2 => run::<$m, 2> as Pair,
            3 => run::<$m, 3> as Pair,
            4 => run::<$m, 4> as Pair,
            5 => run::<$m, 5> as Pair,
            6 => run::<$m, 6> as Pair,
            7 => run::<$m, 7> as Pair,
            8 => run::<$m, 8> as Pair,
            9 => run::<$m, 9> as Pair,
            10 => run::<$m, 10> as Pair,
            11 => run::<$m, 11> as Pair,
            12 => run::<$m, 12> as Pair,
            13 => run::<$m, 13> as Pair,
            14 => run::<$m, 14> as Pair,
            _ => run::<$m, 15> as Pair,
        }
    };
}

macro_rules! by_width {
    ($w:expr, $c:expr, $m1:ty, $m4:ty, $m8:ty) => {
        match $w {
            1 => by_condition!($c, $m1),
            4 => by_condition!($c, $m4),
            8 => by_condition!($c, $m8),
            _ => return None,
        }
    };
}

/// The pair of `first` and a Jcc, if there is one.
pub fn find(first: &Instruction, width: u8, jump: &Instruction) -> Option<Pair> {
    if !jump.is_jcc_short_or_near() {
        return None;
    }
    let c = jump.condition_code();
    if c == iced_x86::ConditionCode::None || first.op0_kind() != OpKind::Register {
        return None;
    }
    let c = condition(c);
    let pair: Pair = match (first.mnemonic(), first.op_count(), first.op1_kind()) {
        (M::Cmp, _, OpKind::Register) => {
            by_width!(width, c, Compare<1, Rd, Rs>, Compare<4, Rd, Rs>, Compare<8, Rd, Rs>)
        }
        (M::Cmp, _, k) if k != OpKind::Memory => {
            by_width!(width, c, Compare<1, Rd, Imm>, Compare<4, Rd, Imm>, Compare<8, Rd, Imm>)
        }
        (M::Test, _, OpKind::Register) => {
            by_width!(width, c, Test<1, Rd, Rs>, Test<4, Rd, Rs>, Test<8, Rd, Rs>)
        }
        (M::Test, _, k) if k != OpKind::Memory => {
            by_width!(width, c, Test<1, Rd, Imm>, Test<4, Rd, Imm>, Test<8, Rd, Imm>)
        }
        (M::Dec, 1, _) => {
            const DEC: u8 = Unary::Dec as u8;
            by_width!(width, c, One<DEC, 1, Rd>, One<DEC, 4, Rd>, One<DEC, 8, Rd>)
        }
        (M::Inc, 1, _) => {
            const INC: u8 = Unary::Inc as u8;
            by_width!(width, c, One<INC, 1, Rd>, One<INC, 4, Rd>, One<INC, 8, Rd>)
        }
        (M::Sub, _, k) if k != OpKind::Memory && k != OpKind::Register => {
            by_width!(width, c, Arith<5, 1, Rd, Imm>, Arith<5, 4, Rd, Imm>, Arith<5, 8, Rd, Imm>)
        }
        (M::And, _, k) if k != OpKind::Memory && k != OpKind::Register => {
            by_width!(width, c, Arith<4, 1, Rd, Imm>, Arith<4, 4, Rd, Imm>, Arith<4, 8, Rd, Imm>)
        }
        _ => return None,
    };
    Some(pair)
}

/// The low four bits of Jcc. `iced-x86` numbers conditions in the same order, from one.
fn condition(c: iced_x86::ConditionCode) -> u8 {
    c as u8 - 1
}
