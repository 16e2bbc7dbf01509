//! x87 instructions on a processor at work: memory operands, errors that wait to be reported, the instruction and operand
//! pointers. What happens to the register stack is in `crate::fpu`.
//!
//! Follows Intel SDM volume 1, sections 8.1.8 (pointers), 8.7 (reporting of errors: CR0.NE, FERR#) and volume 2.

use crate::fpu::image::{self, Form};
use crate::fpu::soft::{Arith, Out};
use crate::fpu::unit::{Const, Pending, Unary};
use crate::fpu::{Operand, float::Num};
use crate::insn::Insn;
use crate::memory::Word;
use crate::mmu::Access;
use crate::state::{F80, Seg, cr0, flag};
use crate::{Exec, Fault};

type R = Result<(), Fault>;

/// What a waiting instruction does first: reports an error that an earlier one left.
#[inline(always)]
fn ready(x: &mut Exec<'_>) -> R {
    if x.cpu.fpu.pending() { error_waits(x) } else { Ok(()) }
}

#[cold]
fn error_waits(x: &mut Exec<'_>) -> R {
    if x.cpu.cr0 & cr0::NE != 0 {
        return Err(Fault::mf());
    }
    assert_ferr(x);
    Ok(())
}

/// FERR#: the board makes IRQ 13 of it, before the next instruction.
#[cold]
fn assert_ferr(x: &mut Exec<'_>) {
    if x.cpu.cr0 & cr0::NE == 0 {
        x.cpu.ferr = true;
        x.limit = x.limit.min(x.count + 1);
        x.derived.attention = true;
    }
}

/// After an instruction that may have taken an error away or brought one back.
fn settle(x: &mut Exec<'_>) {
    if x.cpu.fpu.pending() {
        assert_ferr(x);
    } else {
        x.cpu.ferr = false;
    }
}

/// Notes the instruction as the last one, and a new error.
#[inline(always)]
fn note(x: &mut Exec<'_>, i: &Insn) {
    let fpu = &mut x.cpu.fpu;
    fpu.fip = x.cpu.rip;
    fpu.fcs = x.cpu.seg[Seg::Cs as usize].selector;
    fpu.fop = i.imm as u16 & 0x7ff;
    if x.cpu.fpu.pending() {
        assert_ferr(x);
    }
}

#[inline(always)]
fn note_mem(x: &mut Exec<'_>, i: &Insn, ea: u64) {
    x.cpu.fpu.fdp = ea;
    x.cpu.fpu.fds = x.cpu.seg[x.seg_of(i) as usize].selector;
    note(x, i);
}

/// Loads the memory operand.
#[inline(always)]
pub fn load<T: Word>(x: &mut Exec<'_>, i: &Insn, ea: u64) -> Result<T, Fault> {
    if i.is_flat(i.seg)
        && let Some(at) = x.derived.tlb.hit_read(ea, size_of::<T>() as u64 - 1)
    {
        return Ok(x.mem.ram.read(at));
    }
    let at = x.linear(x.seg_of(i), ea, size_of::<T>() as u64, Access::Read)?;
    x.load(at)
}

/// Stores to the memory operand.
#[inline(always)]
pub fn store<T: Word>(x: &mut Exec<'_>, i: &Insn, ea: u64, v: T) -> R {
    if i.is_flat(i.seg)
        && let Some(at) = x.derived.tlb.hit_write(ea, size_of::<T>() as u64 - 1)
    {
        x.mem.ram.write(at, v);
        return Ok(());
    }
    let at = x.linear(x.seg_of(i), ea, size_of::<T>() as u64, Access::Write)?;
    x.store(at, v)
}

fn load_block<const N: usize>(x: &mut Exec<'_>, i: &Insn, ea: u64) -> Result<[u8; N], Fault> {
    let at = x.linear(x.seg_of(i), ea, N as u64, Access::Read)?;
    let mut b = [0; N];
    x.load_bytes(at, &mut b)?;
    Ok(b)
}

fn store_block(x: &mut Exec<'_>, i: &Insn, ea: u64, b: &[u8]) -> R {
    let at = x.linear(x.seg_of(i), ea, b.len() as u64, Access::Write)?;
    x.store_bytes(at, b)
}

/// Looks whether a store of `n` bytes could be done. An error that is reported instead of the store doesn't hide a fault of its
/// operand (found on the host's processor; SDM volume 3, table 6-2, has both in one class).
#[cold]
fn check_store(x: &mut Exec<'_>, i: &Insn, ea: u64, n: usize) -> R {
    let at = x.linear(x.seg_of(i), ea, n as u64, Access::Write)?;
    x.probe_write(at, n).map(|_| ())
}

fn store_block_or_check(x: &mut Exec<'_>, i: &Insn, ea: u64, b: &[u8], blocked: bool) -> R {
    if blocked { check_store(x, i, ea, b.len()) } else { store_block(x, i, ea, b) }
}

/// Kinds of memory operand.
#[allow(missing_docs)]
pub mod kind {
    pub const M32: u8 = 0;
    pub const M64: u8 = 1;
    pub const I16: u8 = 2;
    pub const I32: u8 = 3;
    pub const I64: u8 = 4;
    pub const M80: u8 = 5;
    pub const BCD: u8 = 6;
}

/// An arithmetic operation by its number.
const fn arith(op: u8) -> Arith {
    match op {
        0 => Arith::Add,
        1 => Arith::Mul,
        4 => Arith::Sub,
        5 => Arith::SubR,
        6 => Arith::Div,
        _ => Arith::DivR,
    }
}

#[inline(always)]
fn operand<const KIND: u8>(x: &mut Exec<'_>, i: &Insn, ea: u64) -> Result<Operand, Fault> {
    Ok(match KIND {
        kind::M32 => Operand::M32(load(x, i, ea)?),
        kind::M64 => Operand::M64(load(x, i, ea)?),
        kind::I16 => Operand::int(i64::from(load::<u16>(x, i, ea)? as i16)),
        kind::I32 => Operand::int(i64::from(load::<u32>(x, i, ea)? as i32)),
        _ => Operand::int(load::<u64>(x, i, ea)? as i64),
    })
}

/// FADD and the like between registers.
pub fn arith_reg<const OP: u8, const POP: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.arith_st(arith(OP), i.dst, i.src, POP);
    note(x, i);
    Ok(())
}

/// FADD and the like with memory.
pub fn arith_mem<const OP: u8, const KIND: u8>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let ea = x.ea(i);
    let b = operand::<KIND>(x, i, ea)?;
    x.cpu.fpu.arith_mem(arith(OP), b);
    note_mem(x, i, ea);
    Ok(())
}

/// FCOM, FUCOM and their popping forms with ST(i); FCOMPP, FUCOMPP (two pops) with ST(1).
pub fn compare_reg<const QUIET: bool, const POPS: u8>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.compare_st(if POPS == 2 { 1 } else { i.src }, QUIET, POPS);
    note(x, i);
    Ok(())
}

/// FCOM, FICOM with memory.
pub fn compare_mem<const KIND: u8, const POPS: u8>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let ea = x.ea(i);
    let b = operand::<KIND>(x, i, ea)?;
    x.cpu.fpu.compare_mem(b, POPS);
    note_mem(x, i, ea);
    Ok(())
}

/// FCOMI and its kin. SF, OF and AF are cleared too (AMD APM volume 5; the SDM leaves them out).
pub fn compare_flags<const QUIET: bool, const POP: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let f = x.cpu.fpu.compare_flags(i.src, QUIET, POP);
    x.cpu.rflags = x.cpu.rflags & !flag::STATUS | f;
    note(x, i);
    Ok(())
}

/// FCMOVcc: condition 0 B, 1 E, 2 BE, 3 U, and 4 more for their opposites.
pub fn conditional_move<const CC: u8>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let mask = match CC & 3 {
        0 => flag::CF,
        1 => flag::ZF,
        2 => flag::CF | flag::ZF,
        _ => flag::PF,
    };
    let c = (x.cpu.rflags & mask != 0) != (CC & 4 != 0);
    x.cpu.fpu.conditional_move(i.src, c);
    note(x, i);
    Ok(())
}

/// FLD, FILD, FBLD from memory.
pub fn load_mem<const KIND: u8>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let ea = x.ea(i);
    match KIND {
        kind::M32 => {
            let v: u32 = load(x, i, ea)?;
            let e = v >> 23 & 0xff;
            if e.wrapping_sub(1) < 0xfe {
                let mant = u64::from(v) << 40 | 1 << 63;
                x.cpu.fpu.load_ext(F80 { mant, se: (v >> 16 & 0x8000) as u16 | (e + 0x3f80) as u16 });
            } else {
                x.cpu.fpu.load(Num::from_f32(v));
            }
        }
        kind::M64 => {
            let v: u64 = load(x, i, ea)?;
            let e = v >> 52 & 0x7ff;
            if e.wrapping_sub(1) < 0x7fe {
                let mant = v << 11 | 1 << 63;
                x.cpu.fpu.load_ext(F80 { mant, se: (v >> 48 & 0x8000) as u16 | (e + 0x3c00) as u16 });
            } else {
                x.cpu.fpu.load(Num::from_f64(v));
            }
        }
        kind::M80 => {
            let b: [u8; 10] = load_block(x, i, ea)?;
            x.cpu.fpu.load_ext(image::f80_from(&b));
        }
        kind::BCD => {
            let b = load_block(x, i, ea)?;
            x.cpu.fpu.load_ext(crate::fpu::soft::load_bcd(b));
        }
        _ => {
            if let Operand::Ext(v) = operand::<KIND>(x, i, ea)? {
                x.cpu.fpu.load_ext(v);
            }
        }
    }
    note_mem(x, i, ea);
    Ok(())
}

/// FST, FIST, FISTTP, FBSTP to memory.
pub fn store_mem<const KIND: u8, const POP: bool, const TRUNCATE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let ea = x.ea(i);
    let f = &x.cpu.fpu;
    let p: Pending = match KIND {
        kind::M32 => f.store_f32(),
        kind::M64 => f.store_f64(),
        kind::I16 => f.store_int(16, TRUNCATE),
        kind::I32 => f.store_int(32, TRUNCATE),
        kind::I64 => f.store_int(64, TRUNCATE),
        kind::M80 => {
            let (v, p) = f.store_ext();
            store_block_or_check(x, i, ea, &image::f80_bytes(v), p.blocked)?;
            p
        }
        _ => {
            let (b, p) = f.store_bcd();
            store_block_or_check(x, i, ea, &b, p.blocked)?;
            p
        }
    };
    if !p.blocked {
        match KIND {
            kind::M32 | kind::I32 => store(x, i, ea, p.bits as u32)?,
            kind::M64 | kind::I64 => store(x, i, ea, p.bits)?,
            kind::I16 => store(x, i, ea, p.bits as u16)?,
            _ => {}
        }
    } else {
        match KIND {
            kind::M32 | kind::I32 => check_store(x, i, ea, 4)?,
            kind::M64 | kind::I64 => check_store(x, i, ea, 8)?,
            kind::I16 => check_store(x, i, ea, 2)?,
            _ => {}
        }
    }
    x.cpu.fpu.complete(p, POP);
    note_mem(x, i, ea);
    Ok(())
}

/// FLD ST(i).
pub fn load_reg(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.load_st(i.dst);
    note(x, i);
    Ok(())
}

/// FST ST(i), FSTP ST(i).
pub fn store_reg<const POP: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.store_st(i.dst, POP);
    note(x, i);
    Ok(())
}

/// FSTPNCE ST(i).
pub fn store_reg_quietly(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.store_st_quietly(i.dst);
    note(x, i);
    Ok(())
}

/// FXCH.
pub fn exchange(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.exchange(i.src);
    note(x, i);
    Ok(())
}

/// FLD1 and its kin: 0 ONE, 1 L2T, 2 L2E, 3 PI, 4 LG2, 5 LN2, 6 ZERO (the opcodes' order).
pub fn load_const<const N: u8>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.load_const(match N {
        0 => Const::One,
        1 => Const::L2t,
        2 => Const::L2e,
        3 => Const::Pi,
        4 => Const::Lg2,
        5 => Const::Ln2,
        _ => Const::Zero,
    });
    note(x, i);
    Ok(())
}

/// Operations without operands, by number.
#[allow(missing_docs)]
pub mod op {
    pub const CHS: u8 = 0;
    pub const ABS: u8 = 1;
    pub const SQRT: u8 = 2;
    pub const RNDINT: u8 = 3;
    pub const SIN: u8 = 4;
    pub const COS: u8 = 5;
    pub const F2XM1: u8 = 6;
    pub const SCALE: u8 = 7;
    pub const PREM: u8 = 8;
    pub const PREM1: u8 = 9;
    pub const TST: u8 = 10;
    pub const XAM: u8 = 11;
    pub const SINCOS: u8 = 12;
    pub const PTAN: u8 = 13;
    pub const XTRACT: u8 = 14;
    pub const PATAN: u8 = 15;
    pub const YL2X: u8 = 16;
    pub const YL2XP1: u8 = 17;
    pub const INCSTP: u8 = 18;
    pub const DECSTP: u8 = 19;
    pub const NOP: u8 = 20;
}

/// An operation without operands.
pub fn plain<const OP: u8>(x: &mut Exec<'_>, i: &Insn) -> R {
    use crate::fpu::transcendental as tr;
    ready(x)?;
    let f = &mut x.cpu.fpu;
    let binary: Option<fn(F80, F80, u16) -> Out> = match OP {
        op::PATAN => Some(tr::patan),
        op::YL2X => Some(tr::yl2x),
        op::YL2XP1 => Some(tr::yl2xp1),
        _ => None,
    };
    match OP {
        op::CHS => f.unary(Unary::Chs),
        op::ABS => f.unary(Unary::Abs),
        op::SQRT => f.unary(Unary::Sqrt),
        op::RNDINT => f.unary(Unary::Rndint),
        op::SIN => f.unary(Unary::Sin),
        op::COS => f.unary(Unary::Cos),
        op::F2XM1 => f.unary(Unary::F2xm1),
        op::SCALE => f.unary(Unary::Scale),
        op::PREM => f.unary(Unary::Prem),
        op::PREM1 => f.unary(Unary::Prem1),
        op::TST => f.test(),
        op::XAM => f.examine(),
        op::SINCOS => f.sincos(),
        op::PTAN => f.tan(),
        op::XTRACT => f.extract(),
        op::INCSTP => f.rotate(1),
        op::DECSTP => f.rotate(7),
        _ => {
            if let Some(b) = binary {
                f.binary(b);
            }
        }
    }
    note(x, i);
    Ok(())
}

/// FFREE ST(i), FFREEP ST(i).
pub fn free<const POP: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.free(i.dst);
    if POP {
        x.cpu.fpu.pop();
    }
    note(x, i);
    Ok(())
}

/// WAIT.
pub fn wait(x: &mut Exec<'_>, _: &Insn) -> R {
    ready(x)
}

/// FNINIT.
pub fn init(x: &mut Exec<'_>, _: &Insn) -> R {
    x.cpu.fpu.init();
    x.cpu.ferr = false;
    Ok(())
}

/// FNCLEX.
pub fn clear(x: &mut Exec<'_>, _: &Insn) -> R {
    x.cpu.fpu.clear_exceptions();
    x.cpu.ferr = false;
    Ok(())
}

/// FNENI, FNDISI, FNSETPM: accepted and without effect since the 387.
pub fn nothing(_: &mut Exec<'_>, _: &Insn) -> R {
    Ok(())
}

/// FLDCW.
pub fn load_control(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let ea = x.ea(i);
    let cw = load(x, i, ea)?;
    x.cpu.fpu.load_control(cw);
    settle(x);
    Ok(())
}

/// FNSTCW.
pub fn store_control(x: &mut Exec<'_>, i: &Insn) -> R {
    let ea = x.ea(i);
    store(x, i, ea, x.cpu.fpu.cw)
}

/// FNSTSW m16.
pub fn store_status(x: &mut Exec<'_>, i: &Insn) -> R {
    let ea = x.ea(i);
    store(x, i, ea, x.cpu.fpu.sw)
}

/// FNSTSW AX.
pub fn status_to_ax(x: &mut Exec<'_>, _: &Insn) -> R {
    let sw = u64::from(x.cpu.fpu.sw);
    x.set_reg(0, 2, sw);
    Ok(())
}

fn form<const WIDE: bool>(i: &Insn) -> Form {
    Form { wide: WIDE, real: i.mode & 0x60 != 0 }
}

/// FNSTENV.
pub fn store_environment<const WIDE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    let f = form::<WIDE>(i);
    let ea = x.ea(i);
    let b = x.cpu.fpu.environment(f);
    store_block(x, i, ea, &b[..f.len()])?;
    x.cpu.fpu.load_control(x.cpu.fpu.cw | 0x3f);
    settle(x);
    Ok(())
}

/// FLDENV.
pub fn load_environment<const WIDE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let f = form::<WIDE>(i);
    let ea = x.ea(i);
    let at = x.linear(x.seg_of(i), ea, f.len() as u64, Access::Read)?;
    let mut b = [0; 28];
    x.load_bytes(at, &mut b[..f.len()])?;
    x.cpu.fpu.load_environment(f, &b);
    settle(x);
    Ok(())
}

/// FNSAVE.
pub fn save<const WIDE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    let f = form::<WIDE>(i);
    let ea = x.ea(i);
    let mut b = [0; 108];
    let n = f.len();
    b[..n].copy_from_slice(&x.cpu.fpu.environment(f)[..n]);
    b[n..n + 80].copy_from_slice(&x.cpu.fpu.registers());
    store_block(x, i, ea, &b[..n + 80])?;
    init(x, i)
}

/// FRSTOR.
pub fn restore<const WIDE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    ready(x)?;
    let f = form::<WIDE>(i);
    let ea = x.ea(i);
    let n = f.len();
    let at = x.linear(x.seg_of(i), ea, n as u64 + 80, Access::Read)?;
    let mut b = [0; 108];
    x.load_bytes(at, &mut b[..n + 80])?;
    let (mut env, mut regs) = ([0; 28], [0; 80]);
    env[..n].copy_from_slice(&b[..n]);
    regs.copy_from_slice(&b[n..n + 80]);
    x.cpu.fpu.load_environment(f, &env);
    x.cpu.fpu.load_registers(&regs);
    settle(x);
    Ok(())
}

/// EMMS.
pub fn emms(x: &mut Exec<'_>, _: &Insn) -> R {
    ready(x)?;
    x.cpu.fpu.tag = 0;
    x.cpu.fpu.sw &= !crate::fpu::sw::TOP;
    Ok(())
}
