//! SYSCALL, SYSRET, SYSENTER, SYSEXIT. Follows Intel SDM volume 2 and AMD APM volume 2, section 6.1.

use super::system::require_cpl0;
use crate::Exec;
use crate::fault::Fault;
use crate::model::Feature;
use crate::state::{Seg, Segment, attr, cr0, efer, flag, gpr};

const FLAT: u16 = attr::P | attr::S | attr::RW | attr::ACCESSED | attr::G;
const CODE32: u16 = FLAT | attr::CODE | attr::DB;
const CODE64: u16 = FLAT | attr::CODE | attr::L;
const DATA: u16 = FLAT | attr::DB;

fn flat(selector: u16, attributes: u16, dpl: u8) -> Segment {
    Segment { base: 0, limit: 0xffff_ffff, attr: attributes | u16::from(dpl) << 5, selector }
}

fn enter(x: &mut Exec, cs: u16, code: u16, ss: u16, cpl: u8) {
    x.cpu.seg[Seg::Cs as usize] = flat(cs, code, cpl);
    x.cpu.seg[Seg::Ss as usize] = flat(ss, DATA, cpl);
    x.cpu.cpl = cpl;
    x.view_changed();
}

/// SYSCALL: as on Intel's processors, in 64-bit mode only.
pub fn syscall(x: &mut Exec, next_rip: u64) -> Result<(), Fault> {
    if x.cpu.msr.efer & efer::SCE == 0 || !x.cpu.is_64() {
        return Err(Fault::ud());
    }
    let cs = (x.cpu.msr.star >> 32) as u16 & !3;
    x.cpu.gpr[gpr::RCX] = next_rip;
    x.cpu.gpr[11] = x.cpu.rflags & !flag::RF;
    x.cpu.rip = x.cpu.msr.lstar;
    x.cpu.rflags &= !(x.cpu.msr.fmask | flag::RF);
    enter(x, cs, CODE64, cs.wrapping_add(8), 0);
    Ok(())
}

/// SYSRET; `wide` with REX.W returns to 64-bit mode.
pub fn sysret(x: &mut Exec, wide: bool) -> Result<(), Fault> {
    if x.cpu.msr.efer & efer::SCE == 0 || !x.cpu.is_64() {
        return Err(Fault::ud());
    }
    require_cpl0(x)?;
    let rcx = x.cpu.gpr[gpr::RCX];
    if wide && !x.cpu.canonical(rcx) {
        return Err(Fault::gp(0));
    }
    let base = (x.cpu.msr.star >> 48) as u16;
    let keep = x.cpu.writable_flags() & !(flag::RF | flag::VM);
    x.cpu.rflags = x.cpu.gpr[11] & keep | flag::ONE;
    let ss = base.wrapping_add(8) | 3;
    if wide {
        x.cpu.rip = rcx;
        enter(x, base.wrapping_add(16) | 3, CODE64, ss, 3);
    } else {
        x.cpu.rip = rcx & 0xffff_ffff;
        enter(x, base | 3, CODE32, ss, 3);
    }
    Ok(())
}

/// SYSENTER.
pub fn sysenter(x: &mut Exec) -> Result<(), Fault> {
    if !x.cpu.model.has(Feature::Sep) {
        return Err(Fault::ud());
    }
    let cs = x.cpu.msr.sysenter_cs as u16 & !3;
    if x.cpu.cr0 & cr0::PE == 0 || cs == 0 {
        return Err(Fault::gp(0));
    }
    let long = x.cpu.msr.efer & efer::LMA != 0;
    let mask = if long { !0 } else { 0xffff_ffff };
    x.cpu.rflags &= !(flag::VM | flag::IF | flag::RF);
    x.cpu.gpr[gpr::RSP] = x.cpu.msr.sysenter_esp & mask;
    x.cpu.rip = x.cpu.msr.sysenter_eip & mask;
    enter(x, cs, if long { CODE64 } else { CODE32 }, cs.wrapping_add(8), 0);
    Ok(())
}

/// SYSEXIT; `wide` with REX.W returns to 64-bit mode.
pub fn sysexit(x: &mut Exec, wide: bool) -> Result<(), Fault> {
    if !x.cpu.model.has(Feature::Sep) {
        return Err(Fault::ud());
    }
    let cs = x.cpu.msr.sysenter_cs as u16 & !3;
    if x.cpu.cr0 & cr0::PE == 0 || cs == 0 || x.cpu.cpl != 0 || x.cpu.is_v86() {
        return Err(Fault::gp(0));
    }
    let (rcx, rdx) = (x.cpu.gpr[gpr::RCX], x.cpu.gpr[gpr::RDX]);
    if wide {
        if !x.cpu.canonical(rcx) || !x.cpu.canonical(rdx) {
            return Err(Fault::gp(0));
        }
        x.cpu.gpr[gpr::RSP] = rcx;
        x.cpu.rip = rdx;
        enter(x, cs.wrapping_add(32) | 3, CODE64, cs.wrapping_add(40) | 3, 3);
    } else {
        x.cpu.gpr[gpr::RSP] = rcx & 0xffff_ffff;
        x.cpu.rip = rdx & 0xffff_ffff;
        enter(x, cs.wrapping_add(16) | 3, CODE32, cs.wrapping_add(24) | 3, 3);
    }
    Ok(())
}
