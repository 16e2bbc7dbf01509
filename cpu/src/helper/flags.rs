//! PUSHF, POPF, CLI and STI with V86 and VME/PVI rules. Follows Intel SDM volume 2 (tables of CLI, STI, POPF) and volume
//! 3, sections 20.2 to 20.4.

use super::interrupt::iopl;
use crate::Exec;
use crate::fault::Fault;
use crate::model::{CpuModel, Feature, Generation};
use crate::state::{Shadow, cr4, flag};

/// The bits of RFLAGS that software can change in this model, reserved ones excluded.
pub(crate) fn existing(m: &CpuModel) -> u64 {
    let base = flag::STATUS | flag::TF | flag::IF | flag::DF;
    if m.generation == Generation::I8086 {
        return base;
    }
    let mut bits = base | flag::IOPL | flag::NT;
    if m.generation >= Generation::I386 {
        bits |= flag::RF | flag::VM;
    }
    if m.generation >= Generation::I486 {
        bits |= flag::AC;
    }
    if m.has(Feature::Cpuid) {
        bits |= flag::ID;
    }
    if m.has(Feature::Vme) {
        bits |= flag::VIF | flag::VIP;
    }
    bits
}

/// What PUSHF pushes (the caller cuts it to the operand size).
pub fn pushf(x: &mut Exec, width: u8) -> Result<u64, Fault> {
    let f = x.cpu.rflags;
    if x.cpu.model.generation == Generation::I8086 {
        return Ok(f & 0xfff | 0xf000 | flag::ONE);
    }
    if !x.cpu.is_v86() || iopl(x.cpu) == 3 {
        return Ok(f & !(flag::VM | flag::RF));
    }
    if width == 2 && x.cpu.cr4 & cr4::VME != 0 {
        let vif = if f & flag::VIF != 0 { flag::IF } else { 0 };
        return Ok(f & !flag::IF | vif | flag::IOPL);
    }
    Err(Fault::gp(0))
}

/// POPF of a popped value.
pub fn popf(x: &mut Exec, v: u64, width: u8) -> Result<(), Fault> {
    let mut bits = flag::STATUS | flag::TF | flag::DF | flag::NT;
    if width > 2 {
        bits |= flag::AC | flag::ID;
    }
    let level = iopl(x.cpu);
    if x.cpu.is_v86() {
        if level == 3 {
            bits |= flag::IF;
        } else {
            return popf_vme(x, v, width, bits);
        }
    } else {
        let cpl = x.cpu.cpl;
        if cpl == 0 {
            bits |= flag::IOPL;
        }
        if cpl <= level {
            bits |= flag::IF;
        }
    }
    bits &= x.cpu.writable_flags();
    let old = x.cpu.rflags;
    x.cpu.rflags = old & !(bits | flag::RF) | v & bits;
    if (old ^ x.cpu.rflags) & flag::AC != 0 {
        x.view_changed();
    }
    Ok(())
}

/// POPF in V86 mode with IOPL below 3: only with VME, 16 bits, IF kept in VIF.
fn popf_vme(x: &mut Exec, v: u64, width: u8, bits: u64) -> Result<(), Fault> {
    let pending = x.cpu.rflags & flag::VIP != 0 && v & flag::IF != 0;
    if width != 2 || x.cpu.cr4 & cr4::VME == 0 || pending || v & flag::TF != 0 {
        return Err(Fault::gp(0));
    }
    let vif = if v & flag::IF != 0 { flag::VIF } else { 0 };
    x.cpu.rflags = x.cpu.rflags & !(bits | flag::RF | flag::VIF) | v & bits | vif;
    Ok(())
}

/// Which flag CLI and STI work on.
fn interrupt_flag(x: &Exec) -> Result<u64, Fault> {
    let (cpl, level) = (x.cpu.cpl, iopl(x.cpu));
    let v86 = x.cpu.is_v86();
    if !x.cpu.is_protected() && !v86 || cpl <= level {
        return Ok(flag::IF);
    }
    let virtual_if = if v86 { cr4::VME } else { cr4::PVI };
    if cpl == 3 && x.cpu.cr4 & virtual_if != 0 { Ok(flag::VIF) } else { Err(Fault::gp(0)) }
}

/// CLI.
pub fn cli(x: &mut Exec) -> Result<(), Fault> {
    let f = interrupt_flag(x)?;
    x.cpu.rflags &= !f;
    Ok(())
}

/// STI; the shadow begins if IF was clear.
pub fn sti(x: &mut Exec) -> Result<(), Fault> {
    let f = interrupt_flag(x)?;
    if f == flag::VIF && x.cpu.rflags & flag::VIP != 0 {
        return Err(Fault::gp(0));
    }
    if f == flag::IF && x.cpu.rflags & flag::IF == 0 {
        x.cpu.shadow = Shadow::Sti;
    }
    x.cpu.rflags |= f;
    Ok(())
}
