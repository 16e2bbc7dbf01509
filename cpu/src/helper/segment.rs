//! Loading segment registers, LDTR and TR, and the instructions that look at descriptors.
//! Follows Intel SDM volume 2 (MOV, LLDT, LTR, VERR, LAR, LSL, ARPL) and volume 3 chapter 5.

use super::descriptor::{Descriptor, code_of, is_null, long_mode, null_segment, system};
use super::system::require_cpl0;
use crate::Exec;
use crate::fault::{Fault, vector};
use crate::state::{Seg, Segment, attr};

/// The attributes of a segment in V86 mode: writable data, DPL 3.
pub(crate) const V86_ATTR: u16 = attr::P | attr::DPL | attr::S | attr::RW | attr::ACCESSED;

/// The attributes that real mode gives a segment that protected mode has not left others: see [`real_segment`].
pub(crate) const REAL_ATTR: u16 = attr::P | attr::S | attr::RW | attr::ACCESSED;

/// A segment register as V86 mode loads it.
pub(crate) fn v86_segment(selector: u16) -> Segment {
    Segment { base: u64::from(selector) << 4, limit: 0xffff, attr: V86_ATTR, selector }
}

/// A segment register as real mode loads it: base and selector, the limit and size stay ("unreal mode").
pub(crate) fn real_segment(old: &Segment, selector: u16) -> Segment {
    let keep = old.attr & (attr::DB | attr::G | attr::DC | attr::CODE);
    // A code type in the hidden part matters to nobody here; L must not survive.
    let limit = if old.attr & attr::UNUSABLE != 0 { 0xffff } else { old.limit };
    Segment {
        base: u64::from(selector) << 4,
        limit,
        attr: keep & !(attr::CODE | attr::DC) | REAL_ATTR,
        selector,
    }
}

/// MOV/POP/LxS to a segment register other than CS.
pub fn load_segment(x: &mut Exec, seg: Seg, selector: u16) -> Result<(), Fault> {
    let s = if x.cpu.is_protected() {
        prepare_segment(x, seg, selector, x.cpu.cpl)?
    } else if x.cpu.is_v86() {
        v86_segment(selector)
    } else {
        real_segment(&x.cpu.seg[seg as usize], selector)
    };
    x.cpu.seg[seg as usize] = s;
    Ok(())
}

/// The checks of a protected-mode load, without the load.
fn prepare_segment(x: &mut Exec, seg: Seg, selector: u16, cpl: u8) -> Result<Segment, Fault> {
    if seg == Seg::Ss {
        return prepare_stack(x, selector, cpl);
    }
    if is_null(selector) {
        return Ok(null_segment(selector, 0));
    }
    let d = x.descriptor(selector, vector::GP)?;
    let code = code_of(selector);
    if !d.is_readable() {
        return Err(Fault::gp(code));
    }
    let rpl = (selector & 3) as u8;
    if !d.is_conforming() && (rpl > d.dpl() || cpl > d.dpl()) {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    x.set_accessed(&d)?;
    Ok(d.segment(selector))
}

fn prepare_stack(x: &mut Exec, selector: u16, cpl: u8) -> Result<Segment, Fault> {
    let rpl = (selector & 3) as u8;
    if is_null(selector) {
        return if x.cpu.is_64() && cpl < 3 && rpl == cpl {
            Ok(null_segment(selector, cpl))
        } else {
            Err(Fault::gp(0))
        };
    }
    let d = x.descriptor(selector, vector::GP)?;
    let code = code_of(selector);
    if rpl != cpl || !d.is_writable_data() || d.dpl() != cpl {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::ss(code));
    }
    x.set_accessed(&d)?;
    Ok(d.segment(selector))
}

/// After a return to an outer level: data segments that the new level may not use become null.
pub(crate) fn drop_inner_segments(x: &mut Exec) {
    for seg in [Seg::Es, Seg::Ds, Seg::Fs, Seg::Gs] {
        let s = &mut x.cpu.seg[seg as usize];
        let dpl = (s.attr >> 5 & 3) as u8;
        let conforming = s.attr & (attr::CODE | attr::DC) == attr::CODE | attr::DC;
        if s.attr & attr::UNUSABLE != 0 {
            if is_null(s.selector) {
                s.selector = 0;
            }
        } else if dpl < x.cpu.cpl && !conforming {
            // Only the selector becomes null (SDM volume 2, IRET, operation): 64-bit code may go on using the base.
            *s = Segment { base: s.base, ..null_segment(0, 0) };
        }
    }
}

/// The instructions of this module that #UD outside protected mode.
pub(crate) fn require_protected(x: &Exec) -> Result<(), Fault> {
    if x.cpu.is_protected() { Ok(()) } else { Err(Fault::ud()) }
}

/// LLDT.
pub fn lldt(x: &mut Exec, selector: u16) -> Result<(), Fault> {
    require_protected(x)?;
    require_cpl0(x)?;
    if is_null(selector) {
        x.cpu.ldtr = null_segment(selector, 0);
        return Ok(());
    }
    let code = code_of(selector);
    if selector & 4 != 0 {
        return Err(Fault::gp(code));
    }
    let mut d = x.descriptor(selector, vector::GP)?;
    if !d.is_system() || d.kind() != system::LDT {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    x.cpu.ldtr = system_segment(x, &mut d, selector)?;
    Ok(())
}

/// LTR.
pub fn ltr(x: &mut Exec, selector: u16) -> Result<(), Fault> {
    require_protected(x)?;
    require_cpl0(x)?;
    if is_null(selector) {
        return Err(Fault::gp(0));
    }
    let code = code_of(selector);
    if selector & 4 != 0 {
        return Err(Fault::gp(code));
    }
    let mut d = x.descriptor(selector, vector::GP)?;
    let ok = d.kind() == system::TSS32 || d.kind() == system::TSS16 && !long_mode(x.cpu);
    if !d.is_system() || !ok {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    let mut s = system_segment(x, &mut d, selector)?;
    x.set_busy(&d, true)?;
    s.attr |= 2;
    x.cpu.tr = s;
    Ok(())
}

/// The hidden part of LDTR or TR: in long mode the descriptor has 16 bytes and a 64-bit base.
fn system_segment(x: &mut Exec, d: &mut Descriptor, selector: u16) -> Result<Segment, Fault> {
    let mut s = d.segment(selector);
    if long_mode(x.cpu) {
        x.descriptor_high(selector, d, vector::GP)?;
        if d.high >> 40 & 0x1f != 0 || !x.cpu.canonical(d.base64()) {
            return Err(Fault::gp(code_of(selector)));
        }
        s.base = d.base64();
    }
    Ok(s)
}

/// SLDT's value.
pub fn sldt(x: &mut Exec) -> Result<u16, Fault> {
    require_protected(x)?;
    super::system::refuse_umip(x)?;
    Ok(x.cpu.ldtr.selector)
}

/// STR's value.
pub fn str(x: &mut Exec) -> Result<u16, Fault> {
    require_protected(x)?;
    super::system::refuse_umip(x)?;
    Ok(x.cpu.tr.selector)
}

/// VERR (`write` false) and VERW: the new ZF.
pub fn verify(x: &mut Exec, selector: u16, write: bool) -> Result<bool, Fault> {
    require_protected(x)?;
    if is_null(selector) {
        return Ok(false);
    }
    let Some(d) = x.try_descriptor(selector)? else { return Ok(false) };
    let reachable = d.is_conforming() || d.dpl() >= x.cpu.cpl.max((selector & 3) as u8);
    Ok(!d.is_system() && reachable && if write { d.is_writable_data() } else { d.is_readable() })
}

/// LAR (`limit` false) and LSL: the value for the destination, or `None` where ZF is cleared.
pub fn look(x: &mut Exec, selector: u16, limit: bool) -> Result<Option<u32>, Fault> {
    require_protected(x)?;
    if is_null(selector) {
        return Ok(None);
    }
    let Some(mut d) = x.try_descriptor(selector)? else { return Ok(None) };
    if d.is_system() {
        let long = long_mode(x.cpu);
        let known = match d.kind() {
            system::LDT | system::TSS32 | system::TSS32_BUSY => true,
            system::TSS16 | system::TSS16_BUSY => !long,
            system::CALL32 => !limit,
            system::CALL16 | system::TASK_GATE => !limit && !long,
            _ => false,
        };
        if !known {
            return Ok(None);
        }
        if long && x.descriptor_high(selector, &mut d, vector::GP).is_err() {
            return Ok(None);
        }
    }
    if !d.is_conforming() && d.dpl() < x.cpu.cpl.max((selector & 3) as u8) {
        return Ok(None);
    }
    Ok(Some(if limit { d.limit() } else { (d.raw >> 32) as u32 & 0x00ff_ff00 }))
}

/// ARPL: the destination's new value and whether it changed (the new ZF).
pub fn arpl(x: &mut Exec, destination: u16, source: u16) -> Result<(u16, bool), Fault> {
    require_protected(x)?;
    Ok(if destination & 3 < source & 3 {
        (destination & !3 | source & 3, true)
    } else {
        (destination, false)
    })
}
