//! Descriptors in the GDT, LDT and IDT. Follows Intel SDM volume 3, sections 3.4, 3.5 and 5.8.

use crate::fault::{Fault, Vector};
use crate::state::{Segment, attr, efer};
use crate::{Cpu, Exec};

/// Types of system descriptors (S = 0).
#[allow(missing_docs)]
pub mod system {
    pub const TSS16: u8 = 1;
    pub const LDT: u8 = 2;
    pub const TSS16_BUSY: u8 = 3;
    pub const CALL16: u8 = 4;
    pub const TASK_GATE: u8 = 5;
    pub const INT16: u8 = 6;
    pub const TRAP16: u8 = 7;
    pub const TSS32: u8 = 9;
    pub const TSS32_BUSY: u8 = 11;
    pub const CALL32: u8 = 12;
    pub const INT32: u8 = 14;
    pub const TRAP32: u8 = 15;
}

/// A descriptor as read from a table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Descriptor {
    /// The eight bytes.
    pub raw: u64,
    /// The upper eight bytes of a 16-byte system descriptor (long mode).
    pub high: u64,
    /// Linear address of the descriptor.
    pub at: u64,
}

impl Descriptor {
    /// The attribute bits in the form of [`Segment::attr`].
    pub fn attr(&self) -> u16 {
        (self.raw >> 40) as u16 & 0xf0ff
    }
    pub fn present(&self) -> bool {
        self.raw >> 47 & 1 != 0
    }
    pub fn dpl(&self) -> u8 {
        (self.raw >> 45) as u8 & 3
    }
    /// A system segment or gate.
    pub fn is_system(&self) -> bool {
        self.raw >> 44 & 1 == 0
    }
    /// Bits 3:0 of the type field.
    pub fn kind(&self) -> u8 {
        (self.raw >> 40) as u8 & 15
    }
    pub fn is_code(&self) -> bool {
        !self.is_system() && self.attr() & attr::CODE != 0
    }
    pub fn is_data(&self) -> bool {
        !self.is_system() && self.attr() & attr::CODE == 0
    }
    pub fn is_writable_data(&self) -> bool {
        self.is_data() && self.attr() & attr::RW != 0
    }
    pub fn is_readable(&self) -> bool {
        !self.is_system() && (self.attr() & attr::CODE == 0 || self.attr() & attr::RW != 0)
    }
    pub fn is_conforming(&self) -> bool {
        self.is_code() && self.attr() & attr::DC != 0
    }
    /// The limit in bytes.
    pub fn limit(&self) -> u32 {
        let l = (self.raw & 0xffff) as u32 | (self.raw >> 32) as u32 & 0xf_0000;
        if self.attr() & attr::G != 0 { l << 12 | 0xfff } else { l }
    }
    pub fn base(&self) -> u64 {
        (self.raw >> 16 & 0xff_ffff) | (self.raw >> 56) << 24
    }
    /// The base of a 16-byte system descriptor.
    pub fn base64(&self) -> u64 {
        self.base() | self.high << 32
    }
    /// The hidden part of a segment register loaded from it.
    pub fn segment(&self, selector: u16) -> Segment {
        Segment {
            base: self.base(),
            limit: self.limit(),
            attr: self.attr() | if self.is_system() { 0 } else { attr::ACCESSED },
            selector,
        }
    }
    pub fn gate_selector(&self) -> u16 {
        (self.raw >> 16) as u16
    }
    /// Offset of a gate with 32-bit offset.
    pub fn gate_offset32(&self) -> u64 {
        self.raw & 0xffff | self.raw >> 32 & 0xffff_0000
    }
    pub fn gate_offset16(&self) -> u64 {
        self.raw & 0xffff
    }
    pub fn gate_offset64(&self) -> u64 {
        self.gate_offset32() | self.high << 32
    }
    /// Parameter count of a call gate.
    pub fn gate_count(&self) -> u8 {
        (self.raw >> 32) as u8 & 31
    }
    /// IST field of a 64-bit interrupt gate.
    pub fn gate_ist(&self) -> u8 {
        (self.raw >> 32) as u8 & 7
    }
}

/// A selector's error code: index and table bits.
pub(crate) fn code_of(selector: u16) -> u32 {
    u32::from(selector & !3)
}

/// Whether a selector is one of the four null selectors.
pub(crate) fn is_null(selector: u16) -> bool {
    selector & !3 == 0
}

/// Whether long mode is active (64-bit or compatibility mode).
#[inline]
pub(crate) fn long_mode(cpu: &Cpu) -> bool {
    cpu.msr.efer & efer::LMA != 0
}

/// A segment register that holds a null selector.
pub(crate) fn null_segment(selector: u16, dpl: u8) -> Segment {
    Segment { base: 0, limit: 0, attr: attr::UNUSABLE | u16::from(dpl) << 5, selector }
}

impl Exec<'_> {
    /// Linear address and last valid offset of the table that a selector names.
    fn table_of(&self, selector: u16) -> Option<(u64, u64)> {
        if selector & 4 == 0 {
            return Some((self.cpu.gdtr.base, u64::from(self.cpu.gdtr.limit)));
        }
        let l = &self.cpu.ldtr;
        (l.attr & attr::UNUSABLE == 0 && l.attr & attr::P != 0).then_some((l.base, u64::from(l.limit)))
    }

    /// Linear address of a selector's descriptor, if that lies within its table.
    #[inline]
    fn descriptor_at(&self, selector: u16) -> Option<u64> {
        let offset = u64::from(selector & !7);
        let (base, limit) = self.table_of(selector)?;
        (offset + 7 <= limit).then(|| base.wrapping_add(offset))
    }

    // Both are inlined, so that what they bring is in registers: passed on through memory, in pieces of other sizes than it was
    // put there, it is waited for at each step.

    /// Reads the descriptor of a non-null selector; beyond the table's limit raises `vector` with the selector.
    #[inline(always)]
    pub(crate) fn descriptor(&mut self, selector: u16, vector: Vector) -> Result<Descriptor, Fault> {
        let Some(at) = self.descriptor_at(selector) else {
            return Err(Fault::with_code(vector, code_of(selector)));
        };
        let raw = self.load_system(at)?;
        Ok(Descriptor { raw, high: 0, at })
    }

    /// As [`Exec::descriptor`], `None` beyond the limit.
    #[inline(always)]
    pub(crate) fn try_descriptor(&mut self, selector: u16) -> Result<Option<Descriptor>, Fault> {
        let Some(at) = self.descriptor_at(selector) else { return Ok(None) };
        let raw = self.load_system(at)?;
        Ok(Some(Descriptor { raw, high: 0, at }))
    }

    /// Reads the second half of a 16-byte descriptor; it must lie within the table.
    pub(crate) fn descriptor_high(
        &mut self,
        selector: u16,
        d: &mut Descriptor,
        vector: Vector,
    ) -> Result<(), Fault> {
        let offset = u64::from(selector & !7);
        match self.table_of(selector) {
            Some((_, limit)) if offset + 15 <= limit => {
                d.high = self.load_system(d.at.wrapping_add(8))?;
                Ok(())
            }
            _ => Err(Fault::with_code(vector, code_of(selector))),
        }
    }

    /// Sets a segment descriptor's accessed bit in its table if it isn't set.
    pub(crate) fn set_accessed(&mut self, d: &Descriptor) -> Result<(), Fault> {
        if d.raw >> 40 & 1 == 0 {
            self.store_system(d.at.wrapping_add(5), (d.raw >> 40) as u8 | 1)?;
        }
        Ok(())
    }

    /// Sets or clears a TSS descriptor's busy bit.
    pub(crate) fn set_busy(&mut self, d: &Descriptor, busy: bool) -> Result<(), Fault> {
        let at = d.at.wrapping_add(5);
        let b: u8 = self.load_system(at)?;
        self.store_system(at, if busy { b | 2 } else { b & !2 })
    }
}
