//! RDMSR and WRMSR. Follows Intel SDM volume 4 (tables 2-2 and 2-20, the P6 family) and volume 3, section 12.11 (MTRRs).
//! Registers of the platform read as on a P6-family processor; unknown ones raise #GP(0).

use super::system::require_cpl0;
use crate::Exec;
use crate::fault::Fault;
use crate::model::{Feature, Generation};
use crate::state::{Seg, efer};
use crate::watch::Event;

const TSC: u32 = 0x10;
const APIC_BASE: u32 = 0x1b;
const MTRR_PHYS: u32 = 0x200;
const MC_BANKS: u32 = 0x400;

/// Register numbers of the fixed-range MTRRs, in the order of the state's array.
const MTRR_FIXED: [u32; 11] = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

/// The variable-range MTRR pairs that MTRRCAP announces.
const MTRR_PAIRS: u64 = 8;
/// The machine-check banks that MCG_CAP announces.
const MC_COUNT: u64 = 4;

/// ARCH_CAPABILITIES: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO,
/// FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO: software has none of the leaks.
pub(crate) const ARCH_CAPABILITIES: u64 = 1 << 0
    | 1 << 1
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 20
    | 1 << 24
    | 1 << 26
    | 1 << 27;

fn require_msr(x: &Exec) -> Result<(), Fault> {
    if !x.cpu.model.has(Feature::Msr) {
        return Err(Fault::ud());
    }
    require_cpl0(x)
}

/// RDMSR: EDX:EAX = MSR[ECX].
pub fn rdmsr(x: &mut Exec) -> Result<(), Fault> {
    require_msr(x)?;
    let n = x.cpu.gpr[1] as u32;
    let v = read(x, n).ok_or(Fault::gp(0))?;
    x.event(|| Event::Msr { msr: n, written: None });
    x.cpu.gpr[0] = v & 0xffff_ffff;
    x.cpu.gpr[2] = v >> 32;
    Ok(())
}

/// WRMSR: MSR[ECX] = EDX:EAX.
pub fn wrmsr(x: &mut Exec) -> Result<(), Fault> {
    require_msr(x)?;
    let n = x.cpu.gpr[1] as u32;
    let v = x.cpu.gpr[0] & 0xffff_ffff | x.cpu.gpr[2] << 32;
    x.event(|| Event::Msr { msr: n, written: Some(v) });
    write(x, n, v).ok_or(Fault::gp(0))
}

/// The value of an MSR; `None` where there is none.
pub fn read(x: &mut Exec, n: u32) -> Option<u64> {
    let has = |f| x.cpu.model.has(f);
    let m = &x.cpu.msr;
    if x.cpu.model.generation < Generation::P6 {
        // The Pentium's own: machine-check address and type, TSC, control and event counters.
        return match n {
            0 | 1 => Some(0),
            TSC => Some(x.tsc()),
            0x11..=0x13 => Some(0),
            _ => None,
        };
    }
    Some(match n {
        0 | 1 => 0,
        TSC => x.tsc(),
        0x17 => 0,
        APIC_BASE | 0x800..=0x8ff => {
            let at = x.moment();
            return x.board.apic_msr_read(at, n);
        }
        0x2a => 0,
        0x3a => 1,
        0x3b => m.tsc_offset,
        0x48 if has(Feature::LongMode) => m.spec_ctrl,
        0x79 => return None,
        0x8b => m.bios_sign_id,
        0xc1 | 0xc2 | 0x186 | 0x187 | 0x38d | 0x38e | 0x38f | 0x390 => 0,
        0xcd | 0xce => 0,
        0xe7 | 0xe8 => x.tsc(),
        0xfe if has(Feature::Mtrr) => MTRR_PAIRS | 1 << 8 | 1 << 10,
        0x10a if has(Feature::LongMode) => ARCH_CAPABILITIES,
        0x11e => 0,
        0x140 => 0,
        0x174 if has(Feature::Sep) => m.sysenter_cs,
        0x175 if has(Feature::Sep) => m.sysenter_esp,
        0x176 if has(Feature::Sep) => m.sysenter_eip,
        0x179 if has(Feature::Mca) => MC_COUNT | 1 << 8,
        0x17a if has(Feature::Mca) => m.mcg_status,
        0x17b if has(Feature::Mca) => m.mcg_ctl,
        0x198 => 0,
        0x199..=0x19d => 0,
        0x1a0 => m.misc_enable,
        0x1a2 | 0x1ad => 0,
        0x1b0 => 6,
        0x1d9 => m.debugctl,
        0x1db..=0x1de => 0,
        0x200..=0x20f if has(Feature::Mtrr) => m.mtrr_phys[(n - MTRR_PHYS) as usize],
        0x277 if has(Feature::Pat) => m.pat,
        0x2ff if has(Feature::Mtrr) => m.mtrr_def_type,
        0x400..=0x40f if has(Feature::Mca) => {
            let at = n - MC_BANKS;
            m.mc[at as usize / 4][at as usize % 4]
        }
        0x606 => 0x000a_0e03,
        0x610..=0x641 => 0,
        0xda0 if has(Feature::Xsave) => m.xss,
        0xc000_0080 if has(Feature::LongMode) || has(Feature::Nx) => m.efer,
        0xc000_0081 if has(Feature::LongMode) => m.star,
        0xc000_0082 if has(Feature::LongMode) => m.lstar,
        0xc000_0083 if has(Feature::LongMode) => m.cstar,
        0xc000_0084 if has(Feature::LongMode) => m.fmask,
        0xc000_0100 if has(Feature::LongMode) => x.cpu.seg[Seg::Fs as usize].base,
        0xc000_0101 if has(Feature::LongMode) => x.cpu.seg[Seg::Gs as usize].base,
        0xc000_0102 if has(Feature::LongMode) => m.kernel_gs_base,
        0xc000_0103 if has(Feature::Rdtscp) => m.tsc_aux,
        _ => {
            let i = MTRR_FIXED.iter().position(|&r| r == n).filter(|_| has(Feature::Mtrr))?;
            m.mtrr_fixed[i]
        }
    })
}

/// Whether a byte is a memory type that PAT knows.
fn pat_ok(v: u64) -> bool {
    v.to_le_bytes().iter().all(|b| matches!(b, 0 | 1 | 4 | 5 | 6 | 7))
}

/// Whether a byte is a memory type that MTRRs know.
fn type_ok(b: u8) -> bool {
    matches!(b, 0 | 1 | 4 | 5 | 6)
}

/// Writes an MSR; `None` raises #GP(0).
pub fn write(x: &mut Exec, n: u32, v: u64) -> Option<()> {
    let model = x.cpu.model.clone();
    let has = |f| model.has(f);
    if model.generation < Generation::P6 {
        match n {
            0 | 1 | 0x11..=0x13 => {}
            TSC => write_tsc(x, v),
            _ => return None,
        }
        return Some(());
    }
    let canonical = x.cpu.canonical(v);
    let width = model.phys_bits();
    match n {
        TSC => write_tsc(x, v),
        APIC_BASE | 0x800..=0x8ff => {
            let at = x.moment();
            x.board.apic_msr_write(x.mem, at, n, v)?;
            x.after_board();
            return Some(());
        }
        0xc000_0080 if has(Feature::LongMode) || has(Feature::Nx) => return write_efer(x, v),
        0xc000_0100..=0xc000_0102 if has(Feature::LongMode) && !canonical => return None,
        0xc000_0100 if has(Feature::LongMode) => x.cpu.seg[Seg::Fs as usize].base = v,
        0xc000_0101 if has(Feature::LongMode) => x.cpu.seg[Seg::Gs as usize].base = v,
        _ => return write_plain(x, n, v, canonical, width, &has),
    }
    Some(())
}

fn write_plain(
    x: &mut Exec,
    n: u32,
    v: u64,
    canonical: bool,
    width: u8,
    has: &dyn Fn(Feature) -> bool,
) -> Option<()> {
    let m = &mut x.cpu.msr;
    let need = |ok: bool| ok.then_some(());
    match n {
        0 | 1 | 0x17 | 0x2a => {}
        0x3a => return None,
        0x3b => m.tsc_offset = v,
        0x48 if has(Feature::LongMode) => {
            need(v & !7 == 0)?;
            m.spec_ctrl = v;
        }
        0x49 if has(Feature::LongMode) => need(v & !1 == 0)?,
        0x10b if has(Feature::LongMode) => need(v & !1 == 0)?,
        0x79 => {}
        0x8b => m.bios_sign_id = v,
        0xc1 | 0xc2 | 0x186 | 0x187 | 0x38d | 0x38e | 0x38f | 0x390 => {}
        0xe7 | 0xe8 | 0x11e | 0x140 => {}
        0x174 if has(Feature::Sep) => m.sysenter_cs = v,
        0x175 if has(Feature::Sep) => {
            need(canonical || !has(Feature::LongMode))?;
            m.sysenter_esp = v;
        }
        0x176 if has(Feature::Sep) => {
            need(canonical || !has(Feature::LongMode))?;
            m.sysenter_eip = v;
        }
        0x17a if has(Feature::Mca) => m.mcg_status = v & 7,
        0x17b if has(Feature::Mca) => m.mcg_ctl = v,
        0x199..=0x19d | 0x1a2 | 0x1ad | 0x1b0 => {}
        0x1a0 => m.misc_enable = v,
        0x1d9 => m.debugctl = v & 0x3,
        0x200..=0x20f if has(Feature::Mtrr) => {
            need(v >> width == 0 && (n & 1 == 1 || type_ok(v as u8) && v & 0xf00 == 0))?;
            m.mtrr_phys[(n - MTRR_PHYS) as usize] = v;
        }
        0x277 if has(Feature::Pat) => {
            need(pat_ok(v))?;
            m.pat = v;
        }
        0x2ff if has(Feature::Mtrr) => {
            need(v & !0xcff == 0 && type_ok(v as u8))?;
            m.mtrr_def_type = v;
        }
        0x400..=0x40f if has(Feature::Mca) => {
            let at = (n - MC_BANKS) as usize;
            // Status, address and what else belongs to it can be cleared only (SDM volume 3, 16.3.2.2 to 16.3.2.4);
            // control takes anything.
            need(at & 3 == 0 || v == 0)?;
            m.mc[at / 4][at % 4] = v;
        }
        0x610..=0x641 => {}
        0xda0 if has(Feature::Xsave) => need(v == 0)?,
        0xc000_0081 if has(Feature::LongMode) => m.star = v,
        0xc000_0082 if has(Feature::LongMode) => {
            need(canonical)?;
            m.lstar = v;
        }
        0xc000_0083 if has(Feature::LongMode) => {
            need(canonical)?;
            m.cstar = v;
        }
        0xc000_0084 if has(Feature::LongMode) => m.fmask = v & 0xffff_ffff,
        0xc000_0102 if has(Feature::LongMode) => m.kernel_gs_base = v,
        0xc000_0103 if has(Feature::Rdtscp) => {
            need(v >> 32 == 0)?;
            m.tsc_aux = v;
        }
        _ => {
            let i = MTRR_FIXED.iter().position(|&r| r == n).filter(|_| has(Feature::Mtrr))?;
            need(v.to_le_bytes().iter().all(|&b| type_ok(b)))?;
            m.mtrr_fixed[i] = v;
        }
    }
    Some(())
}

fn write_tsc(x: &mut Exec, v: u64) {
    x.cpu.msr.tsc_offset = v.wrapping_sub(x.now_ns());
}

fn write_efer(x: &mut Exec, v: u64) -> Option<()> {
    let mut known = 0;
    if x.cpu.model.has(Feature::LongMode) {
        known |= efer::SCE | efer::LME | efer::LMA;
    }
    if x.cpu.model.has(Feature::Nx) {
        known |= efer::NXE;
    }
    if v & !known != 0 {
        return None;
    }
    let old = x.cpu.msr.efer;
    if (v ^ old) & efer::LME != 0 && x.cpu.cr0 & crate::state::cr0::PG != 0 {
        return None;
    }
    x.cpu.msr.efer = v & !efer::LMA | old & efer::LMA;
    x.space_changed();
    Some(())
}
