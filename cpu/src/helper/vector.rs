//! Vector instructions that are more than an operation on two operands: string comparisons, masked stores, CRC32,
//! SHA256RNDS2.
//!
//! Follows Intel SDM volume 2 per instruction.

use super::x87::load;
use crate::insn::Insn;
use crate::interp::vec_access;
use crate::mmu::Access;
use crate::ops::Vec128;
use crate::simd::{crypto, lanes, string};
use crate::state::flag;
use crate::{Exec, Fault};

type R = Result<(), Fault>;

fn xmm(x: &Exec<'_>, r: u8) -> Vec128 {
    let v = &x.cpu.vec[usize::from(r & 15)].0;
    Vec128([v[0], v[1]])
}

fn set_xmm(x: &mut Exec<'_>, r: u8, v: Vec128) {
    x.cpu.vec[usize::from(r & 15)].0[..2].copy_from_slice(&v.0);
}

/// The second operand: a register, or 16 bytes of memory.
fn source(x: &mut Exec<'_>, i: &Insn, aligned: bool) -> Result<Vec128, Fault> {
    if !i.is_mem() {
        return Ok(xmm(x, i.src));
    }
    let ea = x.ea(i);
    vec_access(x, x.seg_of(i), ea, aligned, None)
}

/// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM.
pub fn compare_strings<const EXPLICIT: bool, const MASK: bool, const WIDE: bool>(
    x: &mut Exec<'_>,
    i: &Insn,
) -> R {
    let imm = i.imm as u8;
    let (a, b) = (xmm(x, i.dst), source(x, i, false)?);
    let (la, lb) = if EXPLICIT {
        let len = |r: u8| if WIDE { x.reg(r, 8) as i64 } else { i64::from(x.reg(r, 4) as i32) };
        (string::explicit_length(len(0), imm), string::explicit_length(len(2), imm))
    } else {
        (string::implicit_length(a, imm), string::implicit_length(b, imm))
    };
    let found = string::compare(a, la, b, lb, imm);
    x.cpu.rflags = x.cpu.rflags & !flag::STATUS | found.flags;
    if MASK {
        set_xmm(x, 0, string::mask(found.bits, imm));
    } else {
        x.set_reg(1, 4, u64::from(string::index(found.bits, imm)));
    }
    Ok(())
}

/// Stores the bytes of `v` whose byte in `mask` has its top bit set, at DS:rDI. The whole operand is checked.
fn masked_store(x: &mut Exec<'_>, i: &Insn, v: &[u8], mask: &[u8]) -> R {
    let ea = x.reg(7, i.addr);
    // Moved by halves of eight bytes, and aligned like them (found on the host's processor).
    let ac = x.cpu.rflags & flag::AC;
    x.cpu.rflags &= !flag::AC;
    let at = x.linear(x.seg_of(i), ea, v.len() as u64, Access::Write);
    x.cpu.rflags |= ac;
    let at = at?;
    x.check_alignment(at, 8)?;
    let _checked = x.probe_write(at, v.len())?;
    for (n, (&v, m)) in v.iter().zip(mask).enumerate() {
        if m & 0x80 != 0 {
            x.store::<u8>(at.wrapping_add(n as u64), v)?;
        }
    }
    Ok(())
}

/// MASKMOVDQU.
pub fn maskmovdqu(x: &mut Exec<'_>, i: &Insn) -> R {
    let (v, m) = (lanes::bytes(xmm(x, i.src)), lanes::bytes(xmm(x, i.third)));
    masked_store(x, i, &v, &m)
}

/// MASKMOVQ.
pub fn maskmovq(x: &mut Exec<'_>, i: &Insn) -> R {
    super::x87::wait(x, i)?;
    let reg = |r: u8| x.cpu.fpu.regs[usize::from(r & 7)].mant.to_le_bytes();
    let (v, m) = (reg(i.src), reg(i.third));
    masked_store(x, i, &v, &m)?;
    x.cpu.fpu.sw &= !crate::fpu::sw::TOP;
    x.cpu.fpu.tag = 0xff;
    Ok(())
}

/// CRC32 of a source of `W` bytes.
pub fn crc32<const W: u8>(x: &mut Exec<'_>, i: &Insn) -> R {
    let v = if i.is_mem() {
        let ea = x.ea(i);
        match W {
            1 => load::<u8>(x, i, ea)?.into(),
            2 => load::<u16>(x, i, ea)?.into(),
            4 => load::<u32>(x, i, ea)?.into(),
            _ => load::<u64>(x, i, ea)?,
        }
    } else {
        x.reg(i.src, W)
    };
    let crc = crc(x.reg(i.dst, 4) as u32, v, W);
    x.set_reg(i.dst, 4, u64::from(crc));
    Ok(())
}

/// The host's instruction for its commonest widths, if it has one, else a table.
fn crc(crc: u32, v: u64, w: u8) -> u32 {
    #[cfg(target_arch = "x86_64")]
    let host = match w {
        8 => crate::simd::host_int::crc32_64(crc, v),
        1 => crate::simd::host_int::crc32_8(crc, v as u8),
        _ => None,
    };
    #[cfg(not(target_arch = "x86_64"))]
    let host: Option<u32> = None;
    host.unwrap_or_else(|| crypto::crc32(crc, v, w))
}

/// SHA256RNDS2.
pub fn sha256rnds2(x: &mut Exec<'_>, i: &Insn) -> R {
    let b = source(x, i, true)?;
    let (a, k) = (xmm(x, i.dst), xmm(x, 0));
    #[cfg(target_arch = "x86_64")]
    let host = crate::simd::host_int::sha256rnds2(a, b, k);
    #[cfg(not(target_arch = "x86_64"))]
    let host: Option<Vec128> = None;
    let r = host.unwrap_or_else(|| crypto::sha256rnds2(a, b, k));
    set_xmm(x, i.dst, r);
    Ok(())
}
