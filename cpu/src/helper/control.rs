//! MOV to and from control registers, CLTS, LMSW, SMSW, XSETBV. Follows Intel SDM volume 2 (MOV - Move to/from Control
//! Registers, XSETBV) and volume 3, sections 2.5, 2.6, 4.1 and 4.4.1.

use super::system::{refuse_umip, require_cpl0};
use crate::fault::Fault;
use crate::memory::{PAGE, Place};
use crate::model::{CpuModel, Feature, Generation};
use crate::state::{Seg, attr, cr0, cr4, efer, flag};
use crate::watch::Event;
use crate::{Cpu, Exec};

/// The bits of CR4 that a model has.
pub fn known_cr4(m: &CpuModel) -> u64 {
    let bits = [
        (Feature::Vme, cr4::VME | cr4::PVI),
        (Feature::Tsc, cr4::TSD),
        (Feature::De, cr4::DE),
        (Feature::Pse, cr4::PSE),
        (Feature::Pae, cr4::PAE),
        (Feature::Mce, cr4::MCE),
        (Feature::Pge, cr4::PGE),
        (Feature::Mmx, cr4::PCE),
        (Feature::Fxsr, cr4::OSFXSR),
        (Feature::Sse, cr4::OSXMMEXCPT),
        (Feature::Umip, cr4::UMIP),
        (Feature::FsGsBase, cr4::FSGSBASE),
        (Feature::Pcid, cr4::PCIDE),
        (Feature::Xsave, cr4::OSXSAVE),
        (Feature::Smep, cr4::SMEP),
        (Feature::Smap, cr4::SMAP),
    ];
    bits.iter().filter(|(f, _)| m.has(*f)).fold(0, |all, (_, b)| all | b)
}

/// Reads the four PDPTEs at `cr3` and checks their reserved bits; #GP(0) if a present one sets any.
pub(crate) fn read_pdptes(x: &mut Exec, cr3: u64) -> Result<[u64; 4], Fault> {
    let mut to = [0; 4];
    let base = cr3 & 0xffff_ffe0;
    let above = !((1u64 << x.cpu.model.phys_bits()) - 1);
    for (i, p) in to.iter_mut().enumerate() {
        let at = x.mem.mask(base + 8 * i as u64);
        *p = match x.mem.read_place(at / PAGE) {
            Place::Frame(f) => x.mem.ram.read(f as usize * PAGE as usize + (at % PAGE) as usize),
            _ => !0,
        };
        if *p & 1 != 0 && *p & (above | 0x1e6) != 0 {
            return Err(Fault::gp(0));
        }
    }
    Ok(to)
}

/// Whether the processor translates by PAE's PDPTE registers with these control registers.
fn uses_pdptes(cpu: &Cpu, cr0v: u64, cr4v: u64) -> bool {
    cr0v & cr0::PG != 0 && cr4v & cr4::PAE != 0 && cpu.msr.efer & efer::LME == 0
}

/// MOV from CRn.
pub fn mov_from_cr(x: &mut Exec, n: u8) -> Result<u64, Fault> {
    match n {
        0 | 2 | 3 | 4 => require_cpl0(x)?,
        8 if x.cpu.is_64() => require_cpl0(x)?,
        _ => return Err(Fault::ud()),
    }
    Ok(match n {
        0 => x.cpu.cr0,
        2 => x.cpu.cr2,
        3 => x.cpu.cr3,
        4 if !has_cr4(&x.cpu.model) => return Err(Fault::ud()),
        4 => x.cpu.cr4,
        _ => u64::from(x.board.task_priority(x.cpu.index)),
    })
}

fn has_cr4(m: &CpuModel) -> bool {
    known_cr4(m) != 0
}

/// MOV to CRn.
pub fn mov_to_cr(x: &mut Exec, n: u8, v: u64) -> Result<(), Fault> {
    match n {
        0 | 2 | 3 => require_cpl0(x)?,
        4 if has_cr4(&x.cpu.model) => require_cpl0(x)?,
        8 if x.cpu.is_64() => require_cpl0(x)?,
        _ => return Err(Fault::ud()),
    }
    let v = if x.cpu.is_64() { v } else { v & 0xffff_ffff };
    x.event(|| Event::Cr { n, value: v });
    match n {
        0 => write_cr0(x, v),
        2 => {
            x.cpu.cr2 = v;
            Ok(())
        }
        3 => write_cr3(x, v),
        4 => write_cr4(x, v),
        _ if v & !15 != 0 => Err(Fault::gp(0)),
        _ => {
            x.board.set_task_priority(x.cpu.index, v as u8);
            x.after_board();
            Ok(())
        }
    }
}

/// Bits of CR0 that a model keeps.
fn known_cr0(m: &CpuModel) -> u64 {
    let base = cr0::PE | cr0::MP | cr0::EM | cr0::TS;
    match m.generation {
        Generation::I8086 | Generation::I286 => base,
        Generation::I386 => base | cr0::ET | cr0::PG,
        _ => base | cr0::ET | cr0::PG | cr0::NE | cr0::WP | cr0::AM | cr0::NW | cr0::CD,
    }
}

fn write_cr0(x: &mut Exec, v: u64) -> Result<(), Fault> {
    if v >> 32 != 0 {
        return Err(Fault::gp(0));
    }
    let mut v = v & known_cr0(&x.cpu.model);
    if x.cpu.model.generation >= Generation::I486 {
        v |= cr0::ET;
    }
    let old = x.cpu.cr0;
    if v & cr0::PG != 0 && v & cr0::PE == 0 || v & cr0::NW != 0 && v & cr0::CD == 0 {
        return Err(Fault::gp(0));
    }
    let lme = x.cpu.msr.efer & efer::LME != 0;
    if v & cr0::PG != 0 && old & cr0::PG == 0 {
        let cs = x.cpu.seg[Seg::Cs as usize].attr;
        if lme && (x.cpu.cr4 & cr4::PAE == 0 || cs & attr::L != 0) {
            return Err(Fault::gp(0));
        }
        if lme && x.cpu.tr.attr & 8 == 0 {
            // A 16-bit TSS is not allowed in IA-32e mode.
            return Err(Fault::gp(0));
        }
    }
    if v & cr0::PG == 0 && old & cr0::PG != 0 && (x.cpu.is_64() || x.cpu.cr4 & cr4::PCIDE != 0) {
        return Err(Fault::gp(0));
    }
    let paging_bits = cr0::PG | cr0::CD | cr0::NW;
    if (v ^ old) & paging_bits != 0 && uses_pdptes(x.cpu, v, x.cpu.cr4) {
        x.cpu.pdpte = read_pdptes(x, x.cpu.cr3)?;
    }
    x.cpu.cr0 = v;
    if lme && v & cr0::PG != 0 {
        x.cpu.msr.efer |= efer::LMA;
    } else {
        x.cpu.msr.efer &= !efer::LMA;
    }
    if v & cr0::PE == 0 && old & cr0::PE != 0 {
        leave_protected(x.cpu);
    }
    x.space_changed();
    Ok(())
}

/// Back in real mode the processor runs at level 0 whatever CS says.
fn leave_protected(cpu: &mut Cpu) {
    cpu.cpl = 0;
    cpu.rflags &= !flag::VM;
}

fn write_cr3(x: &mut Exec, v: u64) -> Result<(), Fault> {
    let long = x.cpu.msr.efer & efer::LMA != 0;
    let mut v = v;
    if long {
        if x.cpu.cr4 & cr4::PCIDE != 0 {
            v &= !(1 << 63);
        }
        if v >> x.cpu.model.phys_bits() != 0 {
            return Err(Fault::gp(0));
        }
    } else {
        v &= 0xffff_ffff;
    }
    if uses_pdptes(x.cpu, x.cpu.cr0, x.cpu.cr4) {
        x.cpu.pdpte = read_pdptes(x, v)?;
    }
    x.cpu.cr3 = v;
    x.space_changed();
    Ok(())
}

fn write_cr4(x: &mut Exec, v: u64) -> Result<(), Fault> {
    if v & !known_cr4(&x.cpu.model) != 0 {
        return Err(Fault::gp(0));
    }
    let old = x.cpu.cr4;
    let long = x.cpu.msr.efer & efer::LMA != 0;
    if long && (v & cr4::PAE == 0 || (v ^ old) & cr4::LA57 != 0) {
        return Err(Fault::gp(0));
    }
    if v & cr4::PCIDE != 0 && old & cr4::PCIDE == 0 && (!long || x.cpu.cr3 & 0xfff != 0) {
        return Err(Fault::gp(0));
    }
    let paging_bits = cr4::PAE | cr4::PGE | cr4::PSE | cr4::SMEP;
    if (v ^ old) & paging_bits != 0 && uses_pdptes(x.cpu, x.cpu.cr0, v) {
        x.cpu.pdpte = read_pdptes(x, x.cpu.cr3)?;
    }
    x.cpu.cr4 = v;
    x.space_changed();
    Ok(())
}

/// CLTS.
pub fn clts(x: &mut Exec) -> Result<(), Fault> {
    require_cpl0(x)?;
    x.cpu.cr0 &= !cr0::TS;
    Ok(())
}

/// LMSW: PE can be set but not cleared.
pub fn lmsw(x: &mut Exec, v: u16) -> Result<(), Fault> {
    require_cpl0(x)?;
    let v = x.cpu.cr0 & !0xe | u64::from(v & 0xf);
    x.event(|| Event::Cr { n: 0, value: v });
    write_cr0(x, v)
}

/// SMSW's value (all of CR0: the destination's size cuts it).
pub fn smsw(x: &mut Exec) -> Result<u64, Fault> {
    refuse_umip(x)?;
    Ok(match x.cpu.model.generation {
        Generation::I286 => x.cpu.cr0 | 0xfff0,
        _ => x.cpu.cr0,
    })
}

/// The components that XCR0 may enable.
pub fn known_xcr0(m: &CpuModel) -> u64 {
    if m.has(Feature::Avx) { 7 } else { 3 }
}

/// XSETBV: XCR[ECX] = EDX:EAX.
pub fn xsetbv(x: &mut Exec) -> Result<(), Fault> {
    require_osxsave(x)?;
    require_cpl0(x)?;
    let v = x.cpu.gpr[0] & 0xffff_ffff | x.cpu.gpr[2] << 32;
    let bad = v & !known_xcr0(&x.cpu.model) != 0 || v & 1 == 0 || v & 6 == 4;
    if x.cpu.gpr[1] as u32 != 0 || bad {
        return Err(Fault::gp(0));
    }
    x.cpu.xcr0 = v;
    Ok(())
}

/// XGETBV: EDX:EAX = XCR[ECX].
pub fn xgetbv(x: &mut Exec) -> Result<(), Fault> {
    require_osxsave(x)?;
    if x.cpu.gpr[1] as u32 != 0 {
        return Err(Fault::gp(0));
    }
    x.cpu.gpr[0] = x.cpu.xcr0 & 0xffff_ffff;
    x.cpu.gpr[2] = x.cpu.xcr0 >> 32;
    Ok(())
}

/// #UD unless CR4.OSXSAVE is set.
pub fn require_osxsave(x: &Exec) -> Result<(), Fault> {
    if x.cpu.cr4 & cr4::OSXSAVE != 0 { Ok(()) } else { Err(Fault::ud()) }
}
