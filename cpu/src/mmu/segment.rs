//! Segment and offset to linear address, with the checks of Intel SDM volume 3, chapters 5.3 to 5.5 (limits and types),
//! volume 1 section 3.3.7.1 (canonical addresses) and volume 3 section 6.15 (#AC).

use super::Access;
use super::access::WRAPS;
use crate::fault::Fault;
use crate::model::Generation;
use crate::state::{Seg, Segment, attr, cr0, cr4, efer, flag};
use crate::{Cpu, Exec};

/// Whether a 64-bit linear address is canonical: bits above 47 (above 56 with LA57) equal.
#[inline(always)]
pub fn is_canonical(linear: u64, la57: bool) -> bool {
    let s = if la57 { 7 } else { 16 };
    ((linear << s) as i64 >> s) as u64 == linear
}

impl Cpu {
    /// In 64-bit mode (not compatibility mode).
    #[inline(always)]
    pub fn is_64(&self) -> bool {
        self.msr.efer & efer::LMA != 0 && self.seg[Seg::Cs as usize].attr & attr::L != 0
    }

    /// In protected mode, V86 excluded.
    #[inline(always)]
    pub fn is_protected(&self) -> bool {
        self.cr0 & cr0::PE != 0 && self.rflags & flag::VM == 0
    }

    /// In virtual-8086 mode.
    #[inline(always)]
    pub fn is_v86(&self) -> bool {
        self.rflags & flag::VM != 0
    }

    /// Whether `linear` is canonical for this processor's linear-address width.
    #[inline(always)]
    pub fn canonical(&self, linear: u64) -> bool {
        is_canonical(linear, self.cr4 & cr4::LA57 != 0)
    }
}

impl Cpu {
    /// The fault of an access beyond the stack segment. A 286 in real mode knows one vector for every segment's end
    /// (hardware captures).
    pub(crate) fn stack_end(&self, code: u32) -> Fault {
        if self.model.generation == Generation::I286 && !self.is_protected() {
            return Fault::gp(code);
        }
        Fault::ss(code)
    }
}

/// #SS(0) for the stack segment, else #GP(0). A 286 in real mode knows only the latter (the captures' vector 13).
#[cold]
fn refused(cpu: &Cpu, seg: Seg) -> Fault {
    if seg == Seg::Ss && !is_286_real(cpu) { Fault::ss(0) } else { Fault::gp(0) }
}

/// Real mode of an 80286.
pub(crate) fn is_286_real(cpu: &Cpu) -> bool {
    cpu.model.generation == Generation::I286 && cpu.cr0 & cr0::PE == 0
}

/// Whether a segment's type and limit allow an access of `len` bytes at `offset` (not 64-bit mode).
#[inline]
pub(crate) fn allows(s: &Segment, protected: bool, offset: u64, len: u64, access: Access) -> bool {
    if protected {
        let type_ok = s.attr & attr::UNUSABLE == 0
            && match access {
                Access::Read => s.attr & (attr::CODE | attr::RW) != attr::CODE,
                Access::Write => s.attr & (attr::CODE | attr::RW) == attr::RW,
                Access::Execute => true,
            };
        if !type_ok {
            return false;
        }
        if s.attr & (attr::CODE | attr::DC) == attr::DC {
            // Expand-down: valid offsets lie above the limit, up to FFFFh or FFFFFFFFh.
            let top = if s.attr & attr::DB != 0 { 0xffff_ffff } else { 0xffff };
            return offset > u64::from(s.limit) && offset + (len - 1) <= top;
        }
    }
    let limit = u64::from(s.limit);
    offset <= limit && len - 1 <= limit - offset
}

/// The form in which an access that an 8086 wraps at offset FFFFh reaches loads and stores.
pub(crate) fn wrapping_address(base: u64, offset: u64) -> u64 {
    WRAPS | (0x1_0000 - offset) << 32 | (base + offset)
}

impl Exec<'_> {
    /// The linear address of `len` bytes at `seg:offset` (the offset already wrapped to the address size), after the
    /// checks of segmentation and of alignment.
    #[inline]
    pub fn linear(&mut self, seg: Seg, offset: u64, len: u64, access: Access) -> Result<u64, Fault> {
        let linear = if self.cpu.is_64() {
            self.linear64(seg, offset, len)?
        } else {
            let s = &self.cpu.seg[seg as usize];
            if !allows(s, self.cpu.is_protected(), offset, len, access) {
                return self.outside(seg, offset, len);
            }
            s.base.wrapping_add(offset) & 0xffff_ffff
        };
        if self.cpu.rflags & flag::AC != 0 {
            self.check_alignment(linear, len)?;
        }
        Ok(linear)
    }

    /// As [`Exec::linear`] in 64-bit mode: only FS and GS have a base.
    #[inline]
    fn linear64(&mut self, seg: Seg, offset: u64, len: u64) -> Result<u64, Fault> {
        let linear = match seg {
            Seg::Fs | Seg::Gs => self.cpu.seg[seg as usize].base.wrapping_add(offset),
            _ => offset,
        };
        if self.cpu.canonical(linear) && self.cpu.canonical(linear.wrapping_add(len - 1)) {
            Ok(linear)
        } else {
            Err(refused(self.cpu, seg))
        }
    }

    /// An access beyond the limit: an 8086 has none and wraps inside the segment; all others fault.
    #[cold]
    fn outside(&mut self, seg: Seg, offset: u64, len: u64) -> Result<u64, Fault> {
        if self.cpu.model.generation == Generation::I8086 && offset <= 0xffff && len <= 16 {
            let base = self.cpu.seg[seg as usize].base;
            return Ok(wrapping_address(base, offset));
        }
        Err(if seg == Seg::Ss { self.cpu.stack_end(0) } else { Fault::gp(0) })
    }

    /// #AC(0) where alignment is checked (CR0.AM and EFLAGS.AC at CPL 3) and the address is not aligned to its length.
    #[inline]
    pub fn check_alignment(&mut self, linear: u64, len: u64) -> Result<(), Fault> {
        if self.cpu.cpl != 3 || self.cpu.cr0 & cr0::AM == 0 || self.cpu.rflags & flag::AC == 0 {
            return Ok(());
        }
        // SDM volume 3, table 6-7: far pointers by their halves, 80-bit values as 8, tables and areas as 4.
        let align = match len {
            1 => 1,
            2 => 2,
            4 | 6 => 4,
            8 | 10 => 8,
            16 => 16,
            // x87 areas of 16-bit code.
            14 | 94 => 2,
            _ => 4,
        };
        if linear & (align - 1) != 0 { Err(Fault::ac()) } else { Ok(()) }
    }
}
