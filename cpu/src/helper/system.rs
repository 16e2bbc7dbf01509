//! Descriptor-table registers, INVLPG and its kin, time-stamp counter, port permissions, and other small privileged
//! instructions. Follows Intel SDM volume 2 and volume 3, sections 2.8, 18.5 (ports) and 17.17 (TSC).

use super::interrupt::iopl;
use crate::Exec;
use crate::fault::Fault;
use crate::model::Feature;
use crate::state::{Activity, Seg, TableReg, cr0, cr4, flag};

/// #GP(0) unless CPL is 0.
pub fn require_cpl0(x: &Exec) -> Result<(), Fault> {
    if x.cpu.cpl == 0 { Ok(()) } else { Err(Fault::gp(0)) }
}

/// #GP(0) where CR4.UMIP hides a register from user mode.
pub(crate) fn refuse_umip(x: &Exec) -> Result<(), Fault> {
    if x.cpu.cr4 & cr4::UMIP != 0 && x.cpu.cpl > 0 { Err(Fault::gp(0)) } else { Ok(()) }
}

/// LGDT. `base` comes cut to 24 bits where the operand size is 16.
pub fn lgdt(x: &mut Exec, base: u64, limit: u16) -> Result<(), Fault> {
    x.cpu.gdtr = checked_table(x, base, limit)?;
    Ok(())
}

/// LIDT.
pub fn lidt(x: &mut Exec, base: u64, limit: u16) -> Result<(), Fault> {
    x.cpu.idtr = checked_table(x, base, limit)?;
    Ok(())
}

fn checked_table(x: &Exec, base: u64, limit: u16) -> Result<TableReg, Fault> {
    require_cpl0(x)?;
    if x.cpu.is_64() && !x.cpu.canonical(base) {
        return Err(Fault::gp(0));
    }
    Ok(TableReg { base, limit })
}

/// SGDT's value.
pub fn sgdt(x: &mut Exec) -> Result<TableReg, Fault> {
    refuse_umip(x)?;
    Ok(x.cpu.gdtr)
}

/// SIDT's value.
pub fn sidt(x: &mut Exec) -> Result<TableReg, Fault> {
    refuse_umip(x)?;
    Ok(x.cpu.idtr)
}

/// INVLPG: the TLB is coherent, so only the privilege check is left.
pub fn invlpg(x: &mut Exec, _linear: u64) -> Result<(), Fault> {
    require_cpl0(x)
}

/// INVPCID with its type and 16-byte descriptor.
pub fn invpcid(x: &mut Exec, kind: u64, low: u64, linear: u64) -> Result<(), Fault> {
    require_cpl0(x)?;
    let pcid_ok = x.cpu.cr4 & cr4::PCIDE != 0 || low & 0xfff == 0;
    let ok = match kind {
        0 => low >> 12 == 0 && pcid_ok && x.cpu.canonical(linear),
        1 => low >> 12 == 0 && pcid_ok,
        2 => low >> 12 == 0,
        3 => low >> 12 == 0,
        _ => false,
    };
    if ok { Ok(()) } else { Err(Fault::gp(0)) }
}

/// INVD and WBINVD: there are no caches.
pub fn wbinvd(x: &mut Exec) -> Result<(), Fault> {
    require_cpl0(x)
}

/// HLT. The caller moves on to the next instruction and ends its run.
pub fn hlt(x: &mut Exec) -> Result<(), Fault> {
    require_cpl0(x)?;
    x.cpu.activity = Activity::Halted;
    Ok(())
}

/// MONITOR: checks only; there is nothing to arm because MWAIT is a hint.
pub fn monitor(x: &mut Exec) -> Result<(), Fault> {
    if x.cpu.cpl != 0 {
        return Err(Fault::ud());
    }
    if x.cpu.gpr[1] as u32 != 0 { Err(Fault::gp(0)) } else { Ok(()) }
}

/// MWAIT: returns at once, as the manual lets it.
pub fn mwait(x: &mut Exec) -> Result<(), Fault> {
    if x.cpu.cpl != 0 {
        return Err(Fault::ud());
    }
    if x.cpu.gpr[1] as u32 & !1 != 0 { Err(Fault::gp(0)) } else { Ok(()) }
}

fn set_edx_eax(x: &mut Exec, v: u64) {
    x.cpu.gpr[0] = v & 0xffff_ffff;
    x.cpu.gpr[2] = v >> 32;
}

fn check_tsc(x: &Exec) -> Result<(), Fault> {
    let hidden = x.cpu.cr4 & cr4::TSD != 0 && x.cpu.cr0 & cr0::PE != 0 && x.cpu.cpl != 0;
    if hidden { Err(Fault::gp(0)) } else { Ok(()) }
}

/// RDTSC.
pub fn rdtsc(x: &mut Exec) -> Result<(), Fault> {
    check_tsc(x)?;
    let t = x.tsc();
    set_edx_eax(x, t);
    Ok(())
}

/// RDTSCP.
pub fn rdtscp(x: &mut Exec) -> Result<(), Fault> {
    rdtsc(x)?;
    x.cpu.gpr[1] = x.cpu.msr.tsc_aux & 0xffff_ffff;
    Ok(())
}

/// RDPMC: two counters of 40 bits that count nothing.
pub fn rdpmc(x: &mut Exec) -> Result<(), Fault> {
    let hidden = x.cpu.cr4 & cr4::PCE == 0 && x.cpu.cr0 & cr0::PE != 0 && x.cpu.cpl != 0;
    if hidden || x.cpu.gpr[1] as u32 > 1 {
        return Err(Fault::gp(0));
    }
    set_edx_eax(x, 0);
    Ok(())
}

/// SWAPGS.
pub fn swapgs(x: &mut Exec) -> Result<(), Fault> {
    if !x.cpu.is_64() {
        return Err(Fault::ud());
    }
    require_cpl0(x)?;
    let gs = &mut x.cpu.seg[Seg::Gs as usize].base;
    std::mem::swap(gs, &mut x.cpu.msr.kernel_gs_base);
    Ok(())
}

fn require_fsgsbase(x: &Exec) -> Result<(), Fault> {
    let ok = x.cpu.is_64() && x.cpu.cr4 & cr4::FSGSBASE != 0;
    if ok { Ok(()) } else { Err(Fault::ud()) }
}

/// RDFSBASE and RDGSBASE.
pub fn read_segment_base(x: &mut Exec, seg: Seg) -> Result<u64, Fault> {
    require_fsgsbase(x)?;
    Ok(x.cpu.seg[seg as usize].base)
}

/// WRFSBASE and WRGSBASE (`v` comes zero-extended from a 32-bit operand).
pub fn write_segment_base(x: &mut Exec, seg: Seg, v: u64) -> Result<(), Fault> {
    require_fsgsbase(x)?;
    if !x.cpu.canonical(v) {
        return Err(Fault::gp(0));
    }
    x.cpu.seg[seg as usize].base = v;
    Ok(())
}

/// Whether IN or OUT of `width` bytes at `port` is allowed: IOPL, then the TSS's permission map.
pub fn check_io(x: &mut Exec, port: u16, width: u8) -> Result<(), Fault> {
    if x.cpu.cr0 & cr0::PE == 0 {
        return Ok(());
    }
    if !x.cpu.is_v86() && x.cpu.cpl <= iopl(x.cpu) {
        return Ok(());
    }
    let tr = x.cpu.tr;
    let wide_tss = tr.attr & 0x1f & 0xd == 9;
    if !wide_tss || tr.limit < 103 {
        return Err(Fault::gp(0));
    }
    let map: u16 = x.load_system(tr.base.wrapping_add(102))?;
    let at = u64::from(map) + u64::from(port / 8);
    if at + 1 > u64::from(tr.limit) {
        return Err(Fault::gp(0));
    }
    let bits: u16 = x.load_system(tr.base.wrapping_add(at))?;
    let mask = ((1u16 << width) - 1) << (port % 8);
    if bits & mask != 0 { Err(Fault::gp(0)) } else { Ok(()) }
}

/// IN, permission already checked. Notes I/O breakpoints.
pub fn port_in(x: &mut Exec, port: u16, width: u8) -> u32 {
    super::debug::note_io(x, port, width);
    let at = x.moment();
    let v = x.board.port_in(x.mem, at, port, width);
    x.after_board();
    v
}

/// OUT, permission already checked.
pub fn port_out(x: &mut Exec, port: u16, width: u8, v: u32) {
    super::debug::note_io(x, port, width);
    let at = x.moment();
    x.board.port_out(x.mem, at, port, width, v);
    x.after_board();
}

/// Whether a row of port accesses needs no look at each of them: no permission map in memory, no I/O breakpoint.
fn row_allowed(x: &Exec) -> bool {
    let free = x.cpu.cr0 & cr0::PE == 0 || !x.cpu.is_v86() && x.cpu.cpl <= iopl(x.cpu);
    free && x.cpu.dr7 & 0xff == 0
}

/// The beginning of a row of INs from one port, as many as the board gives at once; bytes, zero for none.
pub fn port_in_row(x: &mut Exec, port: u16, width: u8, to: &mut [u8]) -> usize {
    if !row_allowed(x) {
        return 0;
    }
    let at = x.moment();
    x.board.port_in_row(x.mem, at, port, width, to)
}

/// The beginning of a row of OUTs to one port.
pub fn port_out_row(x: &mut Exec, port: u16, width: u8, from: &[u8]) -> usize {
    if !row_allowed(x) {
        return 0;
    }
    let at = x.moment();
    x.board.port_out_row(x.mem, at, port, width, from)
}

/// STAC and CLAC.
pub fn set_ac(x: &mut Exec, on: bool) -> Result<(), Fault> {
    if !x.cpu.model.has(Feature::Smap) || x.cpu.cpl != 0 || x.cpu.is_v86() {
        return Err(Fault::ud());
    }
    let ac = if on { flag::AC } else { 0 };
    x.cpu.rflags = x.cpu.rflags & !flag::AC | ac;
    x.view_changed();
    Ok(())
}
