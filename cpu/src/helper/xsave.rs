//! FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XRSTOR, LDMXCSR, STMXCSR.
//!
//! Follows Intel SDM volume 1, sections 10.5 (FXSAVE) and 13.4 to 13.11 (the XSAVE feature set). Components: 0 x87,
//! 1 SSE, 2 AVX (upper halves of YMM, at offset 576 in the standard format).

use super::x87::{load, store};
use crate::fpu::image::{self, MXCSR_MASK};
use crate::insn::Insn;
use crate::mmu::Access;
use crate::state::{Fpu, cr4};
use crate::{Exec, Fault};

type R = Result<(), Fault>;

const X87: u64 = 1;
const SSE: u64 = 2;
const AVX: u64 = 4;
/// Offset and size of component 2.
const YMM_AT: usize = 576;
const YMM_SIZE: usize = 256;
/// Largest area.
const AREA: usize = YMM_AT + YMM_SIZE;
/// MXCSR after reset.
const MXCSR_INIT: u32 = 0x1f80;

/// LDMXCSR.
pub fn ldmxcsr(x: &mut Exec<'_>, i: &Insn) -> R {
    let ea = x.ea(i);
    let v = load::<u32>(x, i, ea)?;
    if v & !MXCSR_MASK != 0 {
        return Err(Fault::gp(0));
    }
    x.cpu.mxcsr = v;
    Ok(())
}

/// STMXCSR.
pub fn stmxcsr(x: &mut Exec<'_>, i: &Insn) -> R {
    let ea = x.ea(i);
    store(x, i, ea, x.cpu.mxcsr)
}

/// The area's linear address: #GP(0) if not aligned.
fn area(x: &mut Exec<'_>, i: &Insn, len: usize, align: u64, access: Access) -> Result<u64, Fault> {
    let ea = x.ea(i);
    let at = x.linear(x.seg_of(i), ea, len as u64, access)?;
    if at & (align - 1) != 0 { Err(Fault::gp(0)) } else { Ok(at) }
}

/// XMM registers that the mode has.
fn registers(x: &Exec<'_>) -> usize {
    if x.cpu.is_64() { 16 } else { 8 }
}

/// FXSAVE; `WIDE`: with REX.W.
pub fn fxsave<const WIDE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    let at = area(x, i, 512, 16, Access::Write)?;
    let mut b = [0; 416];
    image::put_x87(&x.cpu.fpu, &mut b, WIDE);
    image::put_mxcsr(x.cpu, &mut b);
    let mut len = 160;
    if x.cpu.cr4 & cr4::OSFXSR != 0 {
        let n = registers(x);
        image::put_xmm(x.cpu, &mut b, n);
        len += 16 * n;
    }
    let h = x.probe_write(at, 512)?;
    x.store_probed_bytes(&h, &b[..len]);
    Ok(())
}

/// FXRSTOR.
pub fn fxrstor<const WIDE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    let at = area(x, i, 512, 16, Access::Read)?;
    let mut b = [0; 512];
    x.load_bytes(at, &mut b)?;
    if x.cpu.cr4 & cr4::OSFXSR != 0 {
        if image::mxcsr(&b) & !MXCSR_MASK != 0 {
            return Err(Fault::gp(0));
        }
        x.cpu.mxcsr = image::mxcsr(&b);
        let n = registers(x);
        image::take_xmm(x.cpu, &b, n);
    }
    image::take_x87(&mut x.cpu.fpu, &b, WIDE);
    Ok(())
}

/// The requested-feature bitmap: XCR0 and EDX:EAX.
fn requested(x: &Exec<'_>) -> u64 {
    x.cpu.xcr0 & (x.reg(2, 4) << 32 | x.reg(0, 4))
}

/// Components that are not in their initial configuration.
fn in_use(x: &Exec<'_>) -> u64 {
    let n = registers(x);
    let sse = x.cpu.vec[..n].iter().any(|v| v.0[0] | v.0[1] != 0);
    let avx = x.cpu.vec[..n].iter().any(|v| v.0[2] | v.0[3] != 0);
    (u64::from(!x.cpu.fpu.is_initial()) * X87) | (u64::from(sse) * SSE) | (u64::from(avx) * AVX)
}

fn put_ymm(x: &Exec<'_>, b: &mut [u8]) {
    for (v, to) in x.cpu.vec[..registers(x)].iter().zip(b.chunks_exact_mut(16)) {
        to[..8].copy_from_slice(&v.0[2].to_le_bytes());
        to[8..].copy_from_slice(&v.0[3].to_le_bytes());
    }
}

fn word(b: &[u8], at: usize) -> u64 {
    let mut w = [0; 8];
    w.copy_from_slice(&b[at..at + 8]);
    u64::from_le_bytes(w)
}

/// Bytes of an area in the standard format that holds `components`.
fn standard_size(components: u64) -> usize {
    if components & AVX != 0 { AREA } else { YMM_AT }
}

/// Where component 2 lies in the compacted format (it is the only extended one).
const COMPACT_YMM_AT: usize = YMM_AT;

/// XSAVE (`OPT` false) and XSAVEOPT (`OPT` true: components in their initial configuration are not written).
pub fn xsave<const WIDE: bool, const OPT: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    let rfbm = requested(x);
    let size = standard_size(rfbm);
    let at = area(x, i, size, 64, Access::Write)?;
    let h = x.probe_write(at, size)?;
    let mut b = [0; AREA];
    x.load_bytes(at, &mut b[..size])?;
    let used = in_use(x);
    let write = if OPT { rfbm & used } else { rfbm };
    if write & X87 != 0 {
        image::put_x87(&x.cpu.fpu, &mut b, WIDE);
    }
    if rfbm & (SSE | AVX) != 0 {
        image::put_mxcsr(x.cpu, &mut b);
    }
    if write & SSE != 0 {
        let n = registers(x);
        image::put_xmm(x.cpu, &mut b, n);
    }
    if write & AVX != 0 {
        put_ymm(x, &mut b[YMM_AT..]);
    }
    let bv = word(&b, 512) & !rfbm | rfbm & used;
    b[512..520].copy_from_slice(&bv.to_le_bytes());
    x.store_probed_bytes(&h, &b[..size]);
    Ok(())
}

/// XSAVEC.
pub fn xsavec<const WIDE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    let rfbm = requested(x);
    let size = if rfbm & AVX != 0 { COMPACT_YMM_AT + YMM_SIZE } else { YMM_AT };
    let at = area(x, i, size, 64, Access::Write)?;
    let h = x.probe_write(at, size)?;
    let mut b = [0; AREA];
    x.load_bytes(at, &mut b[..size])?;
    let mut bv = rfbm & in_use(x);
    if x.cpu.mxcsr != MXCSR_INIT {
        bv |= rfbm & SSE;
    }
    if bv & X87 != 0 {
        image::put_x87(&x.cpu.fpu, &mut b, WIDE);
    }
    if bv & SSE != 0 {
        image::put_mxcsr(x.cpu, &mut b);
        let n = registers(x);
        image::put_xmm(x.cpu, &mut b, n);
    }
    if bv & AVX != 0 {
        put_ymm(x, &mut b[COMPACT_YMM_AT..]);
    }
    b[512..520].copy_from_slice(&bv.to_le_bytes());
    b[520..528].copy_from_slice(&(rfbm | 1 << 63).to_le_bytes());
    x.store_probed_bytes(&h, &b[..size]);
    Ok(())
}

/// Checks the header (bytes 512 to 575): XSTATE_BV and whether the format is compacted.
fn header(x: &Exec<'_>, b: &[u8]) -> Result<(u64, bool), Fault> {
    let (bv, comp) = (word(b, 512), word(b, 520));
    let compacted = comp >> 63 != 0;
    let reserved_from = if compacted { 528 } else { 520 };
    let reserved_to = if compacted { 576 } else { 536 };
    let bad = bv & !x.cpu.xcr0 != 0
        || b[reserved_from..reserved_to].iter().any(|&v| v != 0)
        || compacted && (bv & !comp != 0 || comp & !(1 << 63) & !x.cpu.xcr0 != 0)
        || compacted && !x.cpu.model.has(crate::model::Feature::Xsaveopt);
    if bad { Err(Fault::gp(0)) } else { Ok((bv, compacted)) }
}

/// XRSTOR.
pub fn xrstor<const WIDE: bool>(x: &mut Exec<'_>, i: &Insn) -> R {
    let rfbm = requested(x);
    let at = area(x, i, YMM_AT, 64, Access::Read)?;
    let mut b = [0; AREA];
    x.load_bytes(at, &mut b[..YMM_AT])?;
    let (bv, compacted) = header(x, &b)?;
    let load = rfbm & bv;
    if load & AVX != 0 {
        let at = area(x, i, AREA, 64, Access::Read)?;
        x.load_bytes(at + YMM_AT as u64, &mut b[YMM_AT..])?;
    }
    let takes_mxcsr = if compacted { load & SSE != 0 } else { rfbm & (SSE | AVX) != 0 };
    if takes_mxcsr {
        if image::mxcsr(&b) & !MXCSR_MASK != 0 {
            return Err(Fault::gp(0));
        }
        x.cpu.mxcsr = image::mxcsr(&b);
    } else if compacted && rfbm & SSE != 0 {
        x.cpu.mxcsr = MXCSR_INIT;
    }
    if load & X87 != 0 {
        image::take_x87(&mut x.cpu.fpu, &b, WIDE);
    } else if rfbm & X87 != 0 {
        x.cpu.fpu = Fpu::default();
    }
    let n = registers(x);
    if load & SSE != 0 {
        image::take_xmm(x.cpu, &b, n);
    } else if rfbm & SSE != 0 {
        x.cpu.vec[..n].iter_mut().for_each(|v| v.0[..2].fill(0));
    }
    if rfbm & AVX != 0 {
        for (k, v) in x.cpu.vec[..n].iter_mut().enumerate() {
            let at = YMM_AT + 16 * k;
            let set = load & AVX != 0;
            v.0[2] = if set { word(&b, at) } else { 0 };
            v.0[3] = if set { word(&b, at + 8) } else { 0 };
        }
    }
    Ok(())
}
