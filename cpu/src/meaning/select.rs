//! From a decoded instruction to its [`Meaning`].
//!
//! Also completes the [`Insn`]: operand size, and what a group of instructions is told apart by (`third`).

use super::{
    alu::*,
    features,
    moves::*,
    operand::{Base, Imm, Mem, Rd, Rs, Rt},
    system::*,
};
use crate::{
    insn::{Insn, ModeKey, NO_REG},
    model::{CpuModel, Feature, Generation},
    ops::{Select, Unary},
};
use iced_x86::{Code, Instruction, Mnemonic as M, OpKind};

/// Shape of an operand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum K {
    R,
    /// Memory.
    M,
    /// Memory: a base with a displacement. Only where [`shape`] is asked.
    B,
    I,
}

/// As [`kind`], with the commonest memory shape told apart.
fn shape(ins: &Instruction, n: u32, i: &Insn) -> K {
    match kind(ins, n) {
        K::M if i.base < 16 && i.index == NO_REG => K::B,
        k => k,
    }
}

fn kind(ins: &Instruction, n: u32) -> K {
    match ins.op_kind(n) {
        OpKind::Register => K::R,
        OpKind::Memory => K::M,
        _ => K::I,
    }
}

/// Bytes of operand `n`.
fn bytes(ins: &Instruction, n: u32) -> u8 {
    match ins.op_kind(n) {
        OpKind::Register => ins.op_register(n).size() as u8,
        OpKind::Memory => ins.memory_size().size() as u8,
        OpKind::NearBranch16 => 2,
        OpKind::NearBranch32 => 4,
        OpKind::NearBranch64 => 8,
        _ => 0,
    }
}

/// Bytes that a push or pop of one value moves.
fn stack_bytes(ins: &Instruction) -> u8 {
    ins.stack_pointer_increment().unsigned_abs() as u8
}

/// By width 1, 2, 4, 8.
macro_rules! by_width {
    ($s:expr, $w:expr, $m:ident<[$($c:expr),*]; $($t:ty),*>) => {
        match $w {
            1 => $s.take::<$m<$({ $c },)* 1, $($t),*>>(),
            2 => $s.take::<$m<$({ $c },)* 2, $($t),*>>(),
            4 => $s.take::<$m<$({ $c },)* 4, $($t),*>>(),
            _ => $s.take::<$m<$({ $c },)* 8, $($t),*>>(),
        }
    };
}
/// By width 2, 4, 8.
macro_rules! by_width3 {
    ($s:expr, $w:expr, $m:ident<[$($c:expr),*]; $($t:ty),*>) => {
        match $w {
            2 => $s.take::<$m<$({ $c },)* 2, $($t),*>>(),
            4 => $s.take::<$m<$({ $c },)* 4, $($t),*>>(),
            _ => $s.take::<$m<$({ $c },)* 8, $($t),*>>(),
        }
    };
}
/// One r/m operand, by width.
macro_rules! rm {
    ($s:expr, $w:expr, $k:expr, $m:ident<[$($c:expr),*]>) => {
        if $k == K::M { by_width!($s, $w, $m<[$($c),*]; Mem>) } else { by_width!($s, $w, $m<[$($c),*]; Rd>) }
    };
}
/// A second r/m operand, by width 2, 4, 8.
macro_rules! src_rm {
    ($s:expr, $w:expr, $k:expr, $m:ident<[$($c:expr),*]>) => {
        if $k == K::M { by_width3!($s, $w, $m<[$($c),*]; Mem>) } else { by_width3!($s, $w, $m<[$($c),*]; Rs>) }
    };
}
/// Destination and source, by width.
macro_rules! two {
    ($s:expr, $w:expr, $d:expr, $k:expr, $m:ident<[$($c:expr),*]>) => {
        match ($d, $k) {
            (K::B, K::I) => by_width!($s, $w, $m<[$($c),*]; Base, Imm>),
            (K::B, _) => by_width!($s, $w, $m<[$($c),*]; Base, Rs>),
            (K::M, K::I) => by_width!($s, $w, $m<[$($c),*]; Mem, Imm>),
            (K::M, _) => by_width!($s, $w, $m<[$($c),*]; Mem, Rs>),
            (_, K::I) => by_width!($s, $w, $m<[$($c),*]; Rd, Imm>),
            (_, K::B) => by_width!($s, $w, $m<[$($c),*]; Rd, Base>),
            (_, K::M) => by_width!($s, $w, $m<[$($c),*]; Rd, Mem>),
            _ => by_width!($s, $w, $m<[$($c),*]; Rd, Rs>),
        }
    };
}
/// Destination r/m, source register or immediate, by width.
macro_rules! rm_src {
    ($s:expr, $w:expr, $d:expr, $k:expr, $m:ident<[$($c:expr),*]>) => {
        match ($d, $k) {
            (K::M, K::I) => by_width!($s, $w, $m<[$($c),*]; Mem, Imm>),
            (K::M, _) => by_width!($s, $w, $m<[$($c),*]; Mem, Rs>),
            (_, K::I) => by_width!($s, $w, $m<[$($c),*]; Rd, Imm>),
            _ => by_width!($s, $w, $m<[$($c),*]; Rd, Rs>),
        }
    };
}

/// Hands the meaning of `ins` to `s`; what the model does not have means #UD.
pub fn select<S: Select>(s: S, ins: &Instruction, i: &mut Insn, key: ModeKey, model: &CpuModel) -> S::Out {
    if !features::has(ins, model) {
        return s.take::<Undefined>();
    }
    i.size = if ins.op_count() > 0 { bytes(ins, 0) } else { 0 };
    let s = match super::sse::select(s, ins, i, key) {
        Ok(out) => return out,
        Err(s) => s,
    };
    let s = match super::x87::select(s, ins, i, key) {
        Ok(out) => return out,
        Err(s) => s,
    };
    let s = match arithmetic(s, ins, i, model) {
        Ok(out) => return out,
        Err(s) => s,
    };
    let s = match bits(s, ins, i, model) {
        Ok(out) => return out,
        Err(s) => s,
    };
    let s = match moving(s, ins, i, model) {
        Ok(out) => return out,
        Err(s) => s,
    };
    let s = match control(s, ins, i, model) {
        Ok(out) => return out,
        Err(s) => s,
    };
    match system(s, ins, i, key) {
        Ok(out) => out,
        Err(s) => s.take::<Undefined>(),
    }
}

/// ESC without an x87; `imm` holds its two opcode bytes.
pub fn escape<S: Select>(s: S) -> S::Out {
    s.take::<Escape>()
}

/// POP CS (0Fh on an 8086), which the decoder does not know.
pub fn pop_cs<S: Select>(s: S) -> S::Out {
    s.take::<PopCs>()
}

fn arithmetic<S: Select>(s: S, ins: &Instruction, i: &mut Insn, model: &CpuModel) -> Result<S::Out, S> {
    let (w, d) = (i.size, if ins.op_count() > 0 { kind(ins, 0) } else { K::I });
    let k = if ins.op_count() > 1 { kind(ins, 1) } else { K::I };
    Ok(match ins.mnemonic() {
        M::Add => two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Arith<[0]>),
        M::Or => two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Arith<[1]>),
        M::Adc => two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Arith<[2]>),
        M::Sbb => two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Arith<[3]>),
        M::And => two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Arith<[4]>),
        M::Sub => two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Arith<[5]>),
        M::Xor => two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Arith<[6]>),
        M::Cmp => two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Compare<[]>),
        M::Test => rm_src!(s, w, d, k, Test<[]>),
        M::Inc => rm!(s, w, d, One<[Unary::Inc as u8]>),
        M::Dec => rm!(s, w, d, One<[Unary::Dec as u8]>),
        M::Not => rm!(s, w, d, One<[Unary::Not as u8]>),
        M::Neg => rm!(s, w, d, One<[Unary::Neg as u8]>),
        M::Rol | M::Ror | M::Rcl | M::Rcr | M::Shl | M::Shr | M::Sal | M::Sar => {
            return Ok(shifts(s, ins, i, model));
        }
        M::Shld | M::Shrd => return Ok(double_shifts(s, ins, i)),
        M::Mul => rm!(s, w, d, Mul<[0]>),
        M::Imul if ins.op_count() == 1 => rm!(s, w, d, Mul<[1]>),
        M::Imul if ins.op_count() == 2 => src_rm!(s, w, k, Imul2<[]>),
        M::Imul => src_rm!(s, w, k, Imul3<[]>),
        M::Div | M::Idiv if model.generation == Generation::I8086 => {
            i.third = u8::from(ins.mnemonic() == M::Idiv);
            s.take::<Div8086>()
        }
        M::Div => rm!(s, w, d, Div<[0]>),
        M::Idiv => rm!(s, w, d, Div<[1]>),
        M::Cbw => s.take::<Widen<2>>(),
        M::Cwde => s.take::<Widen<4>>(),
        M::Cdqe => s.take::<Widen<8>>(),
        M::Cwd => s.take::<SignRdx<2>>(),
        M::Cdq => s.take::<SignRdx<4>>(),
        M::Cqo => s.take::<SignRdx<8>>(),
        M::Lahf => s.take::<Lahf>(),
        M::Sahf => s.take::<Sahf>(),
        M::Clc => s.take::<Carry<0>>(),
        M::Stc => s.take::<Carry<1>>(),
        M::Cmc => s.take::<Cmc>(),
        M::Cld => s.take::<Direction<0>>(),
        M::Std => s.take::<Direction<1>>(),
        M::Salc => s.take::<Salc>(),
        M::Aaa => s.take::<Aaa>(),
        M::Aas => s.take::<Aas>(),
        M::Daa => s.take::<Daa>(),
        M::Das => s.take::<Das>(),
        M::Aam => s.take::<Aam>(),
        M::Aad => s.take::<Aad>(),
        _ => return Err(s),
    })
}

fn shifts<S: Select>(s: S, ins: &Instruction, i: &mut Insn, model: &CpuModel) -> S::Out {
    let (w, d, k) = (i.size, kind(ins, 0), kind(ins, 1));
    if model.generation == Generation::I8086 {
        i.third = match ins.mnemonic() {
            M::Rol => 0,
            M::Ror => 1,
            M::Rcl => 2,
            M::Rcr => 3,
            M::Shr => 5,
            M::Sar => 7,
            // SETMO and SETMOC: all ones.
            M::Sal => 6,
            _ => 4,
        };
        return s.take::<Shift8086>();
    }
    match ins.mnemonic() {
        M::Rol => rm_src!(s, w, d, k, Shifts<[0]>),
        M::Ror => rm_src!(s, w, d, k, Shifts<[1]>),
        M::Rcl => rm_src!(s, w, d, k, Shifts<[2]>),
        M::Rcr => rm_src!(s, w, d, k, Shifts<[3]>),
        M::Shr => rm_src!(s, w, d, k, Shifts<[5]>),
        M::Sar => rm_src!(s, w, d, k, Shifts<[7]>),
        _ => rm_src!(s, w, d, k, Shifts<[4]>),
    }
}

fn double_shifts<S: Select>(s: S, ins: &Instruction, i: &Insn) -> S::Out {
    let (w, d, k) = (i.size, kind(ins, 0), kind(ins, 2));
    macro_rules! pick {
        ($left:expr) => {
            match (d, k) {
                (K::M, K::I) => by_width3!(s, w, DoubleShift<[$left]; Mem, Imm>),
                (K::M, _) => by_width3!(s, w, DoubleShift<[$left]; Mem, Rt>),
                (_, K::I) => by_width3!(s, w, DoubleShift<[$left]; Rd, Imm>),
                _ => by_width3!(s, w, DoubleShift<[$left]; Rd, Rt>),
            }
        };
    }
    if ins.mnemonic() == M::Shld { pick!(1) } else { pick!(0) }
}

fn bits<S: Select>(s: S, ins: &Instruction, i: &mut Insn, model: &CpuModel) -> Result<S::Out, S> {
    let (w, d) = (i.size, if ins.op_count() > 0 { kind(ins, 0) } else { K::I });
    let k = if ins.op_count() > 1 { kind(ins, 1) } else { K::I };
    macro_rules! test {
        ($op:expr) => {
            match (d, k) {
                (K::M, K::I) => by_width3!(s, w, BitTest<[$op]; Mem, Imm>),
                (K::M, _) => by_width3!(s, w, BitString<[$op];>),
                (_, K::I) => by_width3!(s, w, BitTest<[$op]; Rd, Imm>),
                _ => by_width3!(s, w, BitTest<[$op]; Rd, Rs>),
            }
        };
    }
    macro_rules! set {
        ($c:expr) => {
            if d == K::M { s.take::<SetCond<{ $c }, Mem>>() } else { s.take::<SetCond<{ $c }, Rd>>() }
        };
    }
    Ok(match ins.mnemonic() {
        M::Bt => test!(0),
        M::Bts => test!(1),
        M::Btr => test!(2),
        M::Btc => test!(3),
        M::Bsf => src_rm!(s, w, k, Scan<[0]>),
        M::Bsr => src_rm!(s, w, k, Scan<[1]>),
        // Without the feature the prefix is ignored.
        M::Tzcnt if !model.has(Feature::Bmi1) => src_rm!(s, w, k, Scan<[0]>),
        M::Lzcnt if !model.has(Feature::Lzcnt) => src_rm!(s, w, k, Scan<[1]>),
        M::Popcnt => src_rm!(s, w, k, Count<[2]>),
        M::Lzcnt => src_rm!(s, w, k, Count<[3]>),
        M::Tzcnt => src_rm!(s, w, k, Count<[4]>),
        M::Seto => set!(0),
        M::Setno => set!(1),
        M::Setb => set!(2),
        M::Setae => set!(3),
        M::Sete => set!(4),
        M::Setne => set!(5),
        M::Setbe => set!(6),
        M::Seta => set!(7),
        M::Sets => set!(8),
        M::Setns => set!(9),
        M::Setp => set!(10),
        M::Setnp => set!(11),
        M::Setl => set!(12),
        M::Setge => set!(13),
        M::Setle => set!(14),
        M::Setg => set!(15),
        M::Cmovo => src_rm!(s, w, k, MoveCond<[0]>),
        M::Cmovno => src_rm!(s, w, k, MoveCond<[1]>),
        M::Cmovb => src_rm!(s, w, k, MoveCond<[2]>),
        M::Cmovae => src_rm!(s, w, k, MoveCond<[3]>),
        M::Cmove => src_rm!(s, w, k, MoveCond<[4]>),
        M::Cmovne => src_rm!(s, w, k, MoveCond<[5]>),
        M::Cmovbe => src_rm!(s, w, k, MoveCond<[6]>),
        M::Cmova => src_rm!(s, w, k, MoveCond<[7]>),
        M::Cmovs => src_rm!(s, w, k, MoveCond<[8]>),
        M::Cmovns => src_rm!(s, w, k, MoveCond<[9]>),
        M::Cmovp => src_rm!(s, w, k, MoveCond<[10]>),
        M::Cmovnp => src_rm!(s, w, k, MoveCond<[11]>),
        M::Cmovl => src_rm!(s, w, k, MoveCond<[12]>),
        M::Cmovge => src_rm!(s, w, k, MoveCond<[13]>),
        M::Cmovle => src_rm!(s, w, k, MoveCond<[14]>),
        M::Cmovg => src_rm!(s, w, k, MoveCond<[15]>),
        _ => return Err(s),
    })
}

fn moving<S: Select>(s: S, ins: &Instruction, i: &mut Insn, model: &CpuModel) -> Result<S::Out, S> {
    let (w, d) = (i.size, if ins.op_count() > 0 { kind(ins, 0) } else { K::I });
    let k = if ins.op_count() > 1 { kind(ins, 1) } else { K::I };
    let from = if ins.op_count() > 1 { bytes(ins, 1) } else { 0 };
    macro_rules! extend {
        ($m:ident) => {
            match (from, shape(ins, 1, i)) {
                (1, K::B) => by_width3!(s, w, $m<[1]; Base>),
                (2, K::B) => by_width3!(s, w, $m<[2]; Base>),
                (_, K::B) => by_width3!(s, w, $m<[4]; Base>),
                (1, K::M) => by_width3!(s, w, $m<[1]; Mem>),
                (1, _) => by_width3!(s, w, $m<[1]; Rs>),
                (2, K::M) => by_width3!(s, w, $m<[2]; Mem>),
                (2, _) => by_width3!(s, w, $m<[2]; Rs>),
                (_, K::M) => by_width3!(s, w, $m<[4]; Mem>),
                _ => by_width3!(s, w, $m<[4]; Rs>),
            }
        };
    }
    Ok(match ins.mnemonic() {
        M::Mov => return mov(s, ins, i, model.generation),
        M::Movzx => extend!(MovZx),
        M::Movsx | M::Movsxd => extend!(MovSx),
        M::Movbe if d == K::M => by_width3!(s, w, MovBe<[]; Mem, Rs>),
        M::Movbe => by_width3!(s, w, MovBe<[]; Rd, Mem>),
        M::Bswap => by_width3!(s, w, Bswap<[];>),
        M::Lea if k != K::M => return Err(s),
        M::Lea => by_width3!(s, w, Lea<[];>),
        M::Xchg if d == K::M => by_width!(s, w, XchgMem<[];>),
        M::Xchg if k == K::M => {
            i.src = i.dst;
            by_width!(s, w, XchgMem<[];>)
        }
        M::Xchg => by_width!(s, w, Xchg<[];>),
        M::Xadd => rm!(s, w, d, Xadd<[]>),
        M::Cmpxchg if d == K::M => by_width!(s, w, CmpXchg<[]; Mem>),
        M::Cmpxchg => by_width!(s, w, CmpXchgReg<[];>),
        M::Cmpxchg8b => s.take::<CmpXchg8b>(),
        M::Cmpxchg16b => s.take::<CmpXchg16b>(),
        M::Xlatb => s.take::<Xlat>(),
        M::Push => return Ok(push(s, ins, i, model)),
        M::Pop => return Ok(pop(s, ins, i, model)),
        M::Pusha | M::Pushad => {
            i.size = if ins.mnemonic() == M::Pusha { 2 } else { 4 };
            s.take::<Pusha>()
        }
        M::Popa | M::Popad => {
            i.size = if ins.mnemonic() == M::Popa { 2 } else { 4 };
            s.take::<Popa>()
        }
        M::Pushf | M::Pushfd | M::Pushfq => {
            i.size = stack_bytes(ins);
            let w = i.size;
            if i.v86() || model.generation == Generation::I8086 {
                s.take::<PushfChecked>()
            } else {
                by_width3!(s, w, Pushf<[];>)
            }
        }
        M::Popf | M::Popfd | M::Popfq => {
            i.size = stack_bytes(ins);
            let old = model.generation == Generation::I8086;
            if old { s.take::<Popf8086>() } else { s.take::<Popf>() }
        }
        M::Enter => {
            i.size = match ins.code() {
                Code::Enterw_imm16_imm8 => 2,
                Code::Enterd_imm16_imm8 => 4,
                _ => 8,
            };
            s.take::<Enter>()
        }
        M::Leave => match ins.code() {
            Code::Leavew => s.take::<Leave<2>>(),
            Code::Leaved => s.take::<Leave<4>>(),
            _ => s.take::<Leave<8>>(),
        },
        M::Les | M::Lss | M::Lds | M::Lfs | M::Lgs => return Ok(far_pointer(s, ins, i)),
        _ => return strings(s, ins, i),
    })
}

fn mov<S: Select>(s: S, ins: &Instruction, i: &Insn, old: Generation) -> Result<S::Out, S> {
    let (w, d, k) = (i.size, kind(ins, 0), kind(ins, 1));
    let to = d == K::R && ins.op0_register().is_segment_register();
    let from = k == K::R && ins.op1_register().is_segment_register();
    let number = if to { i.dst } else { i.src };
    if (to || from) && (number > 3 && old < Generation::I386 || to && number == 1 && old > Generation::I8086)
    {
        return Err(s);
    }
    if d == K::R && !ins.op0_register().is_gpr() {
        let r = ins.op0_register();
        return if r.is_segment_register() {
            let data = !matches!(r, iced_x86::Register::SS | iced_x86::Register::CS);
            Ok(if data { s.take::<MovToSeg>() } else { s.take::<MovToSs>() })
        } else if r.is_cr() {
            Ok(s.take::<MovToCr>())
        } else if r.is_dr() {
            Ok(s.take::<MovToDr>())
        } else {
            Err(s)
        };
    }
    if k == K::R && !ins.op1_register().is_gpr() {
        let r = ins.op1_register();
        return if r.is_segment_register() {
            Ok(match d {
                K::M => s.take::<MovFromSeg<2, Mem>>(),
                _ => by_width3!(s, w, MovFromSeg<[]; Rd>),
            })
        } else if r.is_cr() {
            Ok(s.take::<MovFromCr>())
        } else if r.is_dr() {
            Ok(s.take::<MovFromDr>())
        } else {
            Err(s)
        };
    }
    match ins.code() {
        Code::Mov_AL_moffs8 | Code::Mov_AX_moffs16 | Code::Mov_EAX_moffs32 | Code::Mov_RAX_moffs64
            if i.addr == 8 =>
        {
            return Ok(by_width!(s, w, MovFromAbsolute<[];>));
        }
        Code::Mov_moffs8_AL | Code::Mov_moffs16_AX | Code::Mov_moffs32_EAX | Code::Mov_moffs64_RAX
            if i.addr == 8 =>
        {
            return Ok(by_width!(s, w, MovToAbsolute<[];>));
        }
        _ => {}
    }
    Ok(two!(s, w, shape(ins, 0, i), shape(ins, 1, i), Mov<[]>))
}

fn push<S: Select>(s: S, ins: &Instruction, i: &mut Insn, model: &CpuModel) -> S::Out {
    let w = stack_bytes(ins);
    i.size = w;
    match shape(ins, 0, i) {
        K::B => by_width3!(s, w, Push<[]; Base>),
        K::M => by_width3!(s, w, Push<[]; Mem>),
        K::I => by_width3!(s, w, Push<[]; Imm>),
        K::R if ins.op0_register().is_segment_register() => by_width3!(s, w, PushSeg<[];>),
        K::R if i.dst == 4 && w == 2 && model.generation == Generation::I8086 => s.take::<PushNewSp>(),
        K::R => by_width3!(s, w, Push<[]; Rd>),
    }
}

fn pop<S: Select>(s: S, ins: &Instruction, i: &mut Insn, model: &CpuModel) -> S::Out {
    let w = stack_bytes(ins);
    i.size = w;
    match kind(ins, 0) {
        K::M if model.generation == Generation::I286 => s.take::<PopMem286>(),
        K::M => by_width3!(s, w, PopMem<[];>),
        _ if ins.op0_register() == iced_x86::Register::CS => s.take::<PopCs>(),
        _ if ins.op0_register() == iced_x86::Register::SS => s.take::<PopSs>(),
        _ if ins.op0_register().is_segment_register() => s.take::<PopSeg>(),
        _ => by_width3!(s, w, Pop<[];>),
    }
}

fn far_pointer<S: Select>(s: S, ins: &Instruction, i: &mut Insn) -> S::Out {
    i.third = match ins.mnemonic() {
        M::Les => 0,
        M::Lss => 2,
        M::Lds => 3,
        M::Lfs => 4,
        _ => 5,
    };
    if i.third == 2 { s.take::<Lss>() } else { s.take::<LoadFarPointer>() }
}

fn strings<S: Select>(s: S, ins: &Instruction, i: &mut Insn) -> Result<S::Out, S> {
    if !ins.is_string_instruction() {
        return Err(s);
    }
    i.size = ins.memory_size().size() as u8;
    let once = !ins.has_rep_prefix() && !ins.has_repne_prefix();
    Ok(match ins.mnemonic() {
        M::Movsb | M::Movsw | M::Movsd | M::Movsq if once => s.take::<MovsOnce>(),
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq if once => s.take::<CmpsOnce>(),
        M::Stosb | M::Stosw | M::Stosd | M::Stosq if once => s.take::<StosOnce>(),
        M::Lodsb | M::Lodsw | M::Lodsd | M::Lodsq if once => s.take::<LodsOnce>(),
        M::Scasb | M::Scasw | M::Scasd | M::Scasq if once => s.take::<ScasOnce>(),
        M::Movsb | M::Movsw | M::Movsd | M::Movsq => s.take::<Movs>(),
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq => s.take::<Cmps>(),
        M::Stosb | M::Stosw | M::Stosd | M::Stosq => s.take::<Stos>(),
        M::Lodsb | M::Lodsw | M::Lodsd | M::Lodsq => s.take::<Lods>(),
        M::Scasb | M::Scasw | M::Scasd | M::Scasq => s.take::<Scas>(),
        M::Insb | M::Insw | M::Insd => s.take::<Ins>(),
        M::Outsb | M::Outsw | M::Outsd => s.take::<Outs>(),
        _ => return Err(s),
    })
}

fn control<S: Select>(s: S, ins: &Instruction, i: &mut Insn, model: &CpuModel) -> Result<S::Out, S> {
    let old = model.generation == Generation::I8086;
    let w = i.size;
    let d = if ins.op_count() > 0 { kind(ins, 0) } else { K::I };
    let far = matches!(
        ins.code(),
        Code::Jmp_m1616
            | Code::Jmp_m1632
            | Code::Jmp_m1664
            | Code::Call_m1616
            | Code::Call_m1632
            | Code::Call_m1664
    );
    if far {
        i.size = w - 2;
    }
    Ok(match ins.mnemonic() {
        M::Jmp if far => s.take::<JumpFarMem>(),
        M::Call if far => s.take::<CallFarMem>(),
        M::Jmp | M::Call if matches!(ins.op0_kind(), OpKind::FarBranch16 | OpKind::FarBranch32) => {
            i.size = if ins.op0_kind() == OpKind::FarBranch16 { 2 } else { 4 };
            if ins.mnemonic() == M::Jmp { s.take::<JumpFar>() } else { s.take::<CallFar>() }
        }
        M::Jmp if d == K::I => s.take::<Jmp>(),
        M::Jmp if d == K::M => by_width3!(s, w, JmpTo<[]; Mem>),
        M::Jmp => by_width3!(s, w, JmpTo<[]; Rd>),
        M::Call if d == K::I => by_width3!(s, w, CallRel<[];>),
        M::Call if d == K::M => by_width3!(s, w, CallTo<[]; Mem>),
        M::Call => by_width3!(s, w, CallTo<[]; Rd>),
        M::Ret => match ins.code() {
            Code::Retnw | Code::Retnw_imm16 => s.take::<Ret<2>>(),
            Code::Retnd | Code::Retnd_imm16 => s.take::<Ret<4>>(),
            _ => s.take::<Ret<8>>(),
        },
        M::Retf => {
            i.size = match ins.code() {
                Code::Retfw | Code::Retfw_imm16 => 2,
                Code::Retfd | Code::Retfd_imm16 => 4,
                _ => 8,
            };
            s.take::<FarRet>()
        }
        M::Jcxz | M::Jecxz | M::Jrcxz => {
            i.addr = match ins.mnemonic() {
                M::Jcxz => 2,
                M::Jecxz => 4,
                _ => 8,
            };
            s.take::<Jcxz>()
        }
        M::Loop | M::Loope | M::Loopne => {
            i.addr = loop_counter(ins.code());
            match ins.mnemonic() {
                M::Loop => s.take::<Loop<2>>(),
                M::Loope => s.take::<Loop<1>>(),
                _ => s.take::<Loop<0>>(),
            }
        }
        M::Int if old => s.take::<IntN8086>(),
        M::Int => s.take::<IntN>(),
        M::Int3 => s.take::<Int3>(),
        M::Int1 => s.take::<Int1>(),
        M::Into => s.take::<Into>(),
        M::Iret | M::Iretd | M::Iretq => {
            i.size = match ins.mnemonic() {
                M::Iret => 2,
                M::Iretd => 4,
                _ => 8,
            };
            if old { s.take::<Iret8086>() } else { s.take::<Iret>() }
        }
        M::Jo => s.take::<Jcc<0>>(),
        M::Jno => s.take::<Jcc<1>>(),
        M::Jb => s.take::<Jcc<2>>(),
        M::Jae => s.take::<Jcc<3>>(),
        M::Je => s.take::<Jcc<4>>(),
        M::Jne => s.take::<Jcc<5>>(),
        M::Jbe => s.take::<Jcc<6>>(),
        M::Ja => s.take::<Jcc<7>>(),
        M::Js => s.take::<Jcc<8>>(),
        M::Jns => s.take::<Jcc<9>>(),
        M::Jp => s.take::<Jcc<10>>(),
        M::Jnp => s.take::<Jcc<11>>(),
        M::Jl => s.take::<Jcc<12>>(),
        M::Jge => s.take::<Jcc<13>>(),
        M::Jle => s.take::<Jcc<14>>(),
        M::Jg => s.take::<Jcc<15>>(),
        _ => return Err(s),
    })
}

fn loop_counter(c: Code) -> u8 {
    use Code::*;
    match c {
        Loop_rel8_16_CX | Loop_rel8_32_CX | Loope_rel8_16_CX | Loope_rel8_32_CX | Loopne_rel8_16_CX
        | Loopne_rel8_32_CX => 2,
        Loop_rel8_16_RCX | Loop_rel8_64_RCX | Loope_rel8_16_RCX | Loope_rel8_64_RCX | Loopne_rel8_16_RCX
        | Loopne_rel8_64_RCX => 8,
        _ => 4,
    }
}

fn system<S: Select>(s: S, ins: &Instruction, i: &mut Insn, key: ModeKey) -> Result<S::Out, S> {
    Ok(match ins.mnemonic() {
        M::Nop
        | M::Endbr32
        | M::Endbr64
        | M::Rdsspd
        | M::Rdsspq
        | M::Cldemote
        | M::Prefetchit0
        | M::Prefetchit1
        | M::Reservednop
        | M::Pause
        | M::Prefetchnta
        | M::Prefetcht0
        | M::Prefetcht1
        | M::Prefetcht2
        | M::Prefetch
        | M::Prefetchw
        | M::Prefetchwt1 => s.take::<Nop>(),
        M::Clflush | M::Clflushopt | M::Clwb => s.take::<Touch>(),
        M::Lfence | M::Mfence | M::Sfence => s.take::<Fence>(),
        M::In => {
            i.size = bytes(ins, 0);
            s.take::<In>()
        }
        M::Out => {
            i.size = bytes(ins, 1);
            s.take::<Out>()
        }
        M::Cli => s.take::<Cli>(),
        M::Sti => s.take::<Sti>(),
        M::Hlt => s.take::<Hlt>(),
        M::Bound => s.take::<Bound>(),
        M::Lgdt | M::Lidt => {
            i.third = u8::from(ins.mnemonic() == M::Lidt);
            i.size = if matches!(ins.code(), Code::Lgdt_m1632_16 | Code::Lidt_m1632_16) { 2 } else { 4 };
            s.take::<LoadTable>()
        }
        M::Sgdt | M::Sidt => {
            i.third = u8::from(ins.mnemonic() == M::Sidt);
            s.take::<StoreTable>()
        }
        M::Sldt | M::Str if key.real() || key.v86() => return Err(s),
        M::Sldt => s.take::<Sldt>(),
        M::Str => s.take::<Str>(),
        M::Smsw => s.take::<Smsw>(),
        M::Lldt => s.take::<Lldt>(),
        M::Ltr => s.take::<Ltr>(),
        M::Lmsw => s.take::<Lmsw>(),
        M::Verr => s.take::<Verr>(),
        M::Verw => s.take::<Verw>(),
        M::Lar => s.take::<Lar>(),
        M::Lsl => s.take::<Lsl>(),
        M::Arpl => s.take::<Arpl>(),
        M::Clts => s.take::<Clts>(),
        M::Invlpg => s.take::<Invlpg>(),
        M::Invpcid => s.take::<Invpcid>(),
        M::Invd | M::Wbinvd => s.take::<Wbinvd>(),
        M::Monitor => s.take::<Monitor>(),
        M::Mwait => s.take::<Mwait>(),
        M::Rdtsc => s.take::<Rdtsc>(),
        M::Rdtscp => s.take::<Rdtscp>(),
        M::Rdpmc => s.take::<Rdpmc>(),
        M::Rdmsr => s.take::<Rdmsr>(),
        M::Wrmsr => s.take::<Wrmsr>(),
        M::Cpuid => s.take::<Cpuid>(),
        M::Swapgs => s.take::<Swapgs>(),
        M::Syscall => s.take::<Syscall>(),
        M::Sysret | M::Sysretq => {
            i.size = if ins.mnemonic() == M::Sysretq { 8 } else { 4 };
            s.take::<Sysret>()
        }
        M::Sysenter => s.take::<Sysenter>(),
        M::Sysexit | M::Sysexitq => {
            i.size = if ins.mnemonic() == M::Sysexitq { 8 } else { 4 };
            s.take::<Sysexit>()
        }
        M::Xgetbv => s.take::<Xgetbv>(),
        M::Xsetbv => s.take::<Xsetbv>(),
        M::Rdfsbase | M::Rdgsbase => {
            i.third = if ins.mnemonic() == M::Rdfsbase { 4 } else { 5 };
            s.take::<ReadBase>()
        }
        M::Wrfsbase | M::Wrgsbase => {
            i.third = if ins.mnemonic() == M::Wrfsbase { 4 } else { 5 };
            s.take::<WriteBase>()
        }
        M::Clac | M::Stac => {
            i.third = u8::from(ins.mnemonic() == M::Stac);
            s.take::<SetAc>()
        }
        M::Rsm => s.take::<Rsm>(),
        M::Rdrand | M::Rdseed => s.take::<Random>(),
        M::Rdpid => s.take::<Rdpid>(),
        _ => return Err(s),
    })
}
