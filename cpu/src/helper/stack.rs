//! Stack frames of the helpers: a whole frame is checked before a byte of it is written.

use crate::fault::Fault;
use crate::mmu::{Access, View};
use crate::state::{Seg, Segment, attr, gpr};
use crate::{Cpu, Exec};

/// A stack to push to or pop from; the registers change only when the caller commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    pub seg: Segment,
    pub sp: u64,
    /// 64-bit mode: no segment.
    pub wide: bool,
    pub view: View,
    /// Error code of a #SS.
    pub code: u32,
    pub protected: bool,
}

impl Stack {
    /// The processor's present stack.
    pub fn current(cpu: &Cpu) -> Stack {
        Stack {
            seg: cpu.seg[Seg::Ss as usize],
            sp: cpu.gpr[gpr::RSP],
            wide: cpu.is_64(),
            view: crate::mmu::own_view(cpu),
            code: 0,
            protected: cpu.is_protected(),
        }
    }

    fn mask(&self) -> u64 {
        if self.wide {
            !0
        } else if self.seg.attr & attr::DB != 0 {
            0xffff_ffff
        } else {
            0xffff
        }
    }

    /// SP written into the register as the stack's size asks.
    pub fn merge(&self, old: u64) -> u64 {
        let mask = self.mask();
        match mask {
            0xffff => old & !0xffff | self.sp & 0xffff,
            _ => self.sp & mask,
        }
    }

    /// Linear address of `len` bytes at SS:`sp`, checked.
    fn linear(&self, x: &Exec, sp: u64, len: u64, access: Access) -> Result<u64, Fault> {
        if self.wide {
            let ok = x.cpu.canonical(sp) && x.cpu.canonical(sp.wrapping_add(len - 1));
            return if ok { Ok(sp) } else { Err(Fault::ss(self.code)) };
        }
        let linear = self.seg.base.wrapping_add(sp) & 0xffff_ffff;
        if crate::mmu::segment_allows(&self.seg, self.protected, sp, len, access) {
            return Ok(linear);
        }
        if x.cpu.model.generation == crate::model::Generation::I8086 && sp <= 0xffff {
            return Ok(crate::mmu::wrapping_address(self.seg.base, sp));
        }
        Err(x.cpu.stack_end(self.code))
    }

    /// Pushes `values` in order, each `width` bytes wide, or faults with nothing written.
    pub fn push(&mut self, x: &mut Exec, values: &[u64], width: u8) -> Result<(), Fault> {
        let mask = self.mask();
        let w = u64::from(width);
        let total = w * values.len() as u64;
        let top = self.sp & mask;
        if self.wide || top >= total {
            let low = top.wrapping_sub(total);
            let at = self.linear(x, low, total, Access::Write)?;
            // CS and EIP, most often: one word.
            if let (4, &[first, last]) = (width, values)
                && x.store_direct(at, first << 32 | last & 0xffff_ffff, self.view)
            {
                self.sp = low;
                return Ok(());
            }
            // Room for an interrupt's frame, or for that of a call gate with 31 parameters.
            if total <= 64 {
                write_frame::<64>(x, at, values, width, self.view)?;
            } else {
                write_frame::<320>(x, at, values, width, self.view)?;
            }
            self.sp = low;
            return Ok(());
        }
        // The frame wraps around the end of a 16-bit (or 32-bit) stack: word by word.
        let mut at = [0u64; 40];
        let mut sp = top;
        for slot in at.iter_mut().take(values.len()) {
            sp = sp.wrapping_sub(w) & mask;
            *slot = self.linear(x, sp, w, Access::Write)?;
            x.probe_view(*slot, width as usize, Access::Write, self.view)?;
        }
        for (a, v) in at.iter().zip(values) {
            x.store_bytes_view(*a, &v.to_le_bytes()[..width as usize], self.view)?;
        }
        self.sp = sp;
        Ok(())
    }

    /// Pops as many values as `to` holds.
    pub fn pop(&mut self, x: &mut Exec, to: &mut [u64], width: u8) -> Result<(), Fault> {
        let mask = self.mask();
        let w = u64::from(width);
        if let (4, &mut [ref mut first, ref mut last]) = (width, &mut *to)
            && let sp = self.sp & mask
            && sp <= mask - 8
            && let Ok(at) = self.linear(x, sp, 8, Access::Read)
            && let Some(both) = x.load_direct::<u64>(at, self.view)
        {
            // EIP and CS, most often: one word.
            (*first, *last) = (both & 0xffff_ffff, both >> 32);
            self.sp = sp + 8;
            return Ok(());
        }
        for v in to {
            let sp = self.sp & mask;
            let at = self.linear(x, sp, w, Access::Read)?;
            *v = match width {
                2 => u64::from(x.load_view::<u16>(at, self.view)?),
                4 => u64::from(x.load_view::<u32>(at, self.view)?),
                _ => x.load_view::<u64>(at, self.view)?,
            };
            self.sp = sp.wrapping_add(w) & mask;
        }
        Ok(())
    }

    /// Releases `n` bytes.
    pub fn release(&mut self, n: u64) {
        self.sp = self.sp.wrapping_add(n) & self.mask();
    }
}

/// Writes `values`, the last of them at linear address `at`, as one frame of at most `N` bytes.
fn write_frame<const N: usize>(
    x: &mut Exec,
    at: u64,
    values: &[u64],
    width: u8,
    view: View,
) -> Result<(), Fault> {
    let mut bytes = [0u8; N];
    let w = width as usize;
    for (to, v) in bytes.chunks_exact_mut(w).zip(values.iter().rev()) {
        to.copy_from_slice(&v.to_le_bytes()[..w]);
    }
    x.store_bytes_view(at, &bytes[..w * values.len()], view)
}
