//! Linux's ORC unwind tables, read from the guest's memory: who called, without frame pointers, through interrupts and
//! exceptions.
//!
//! Linux source, `arch/x86/include/asm/orc_types.h` and `arch/x86/kernel/unwind_orc.c` (`unwind_next_frame`). The entry's
//! last byte changed with 6.4; the kernel's banner tells its version.

use crate::Machine;
use crate::debug::backtrace::{Frame, How};
use lucid86_cpu::state::gpr;

/// Registers that an entry may start from.
const UNDEFINED: u8 = 0;
const PREV_SP: u8 = 1;
const DX: u8 = 2;
const DI: u8 = 3;
const BP: u8 = 4;
const SP: u8 = 5;
const R10: u8 = 6;
const R13: u8 = 7;
const BP_INDIRECT: u8 = 8;
const SP_INDIRECT: u8 = 9;

/// The tables of the running kernel.
pub struct Orc {
    ips: u64,
    entries: u64,
    count: u64,
    /// Of 6.4 or later.
    new: bool,
}

/// Kinds of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A call's.
    Call,
    /// All registers.
    Registers,
    /// What the processor pushes.
    Partial,
}

/// The kind in an entry's last byte; `None` where no frame follows.
fn kind_of(byte: u8, new: bool) -> Option<Kind> {
    match if new { byte & 7 } else { (byte & 3) + 2 } {
        2 => Some(Kind::Call),
        3 => Some(Kind::Registers),
        4 => Some(Kind::Partial),
        _ => None,
    }
}

/// Whether "Linux version 6.1.0-..." is 6.4 or later.
fn is_new(banner: &str) -> Option<bool> {
    let mut numbers = banner.strip_prefix("Linux version ")?.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    Some((number()?, number()?) >= (6, 4))
}

struct Entry {
    sp_offset: i64,
    bp_offset: i64,
    sp_reg: u8,
    bp_reg: u8,
    kind: Kind,
}

struct State {
    ip: u64,
    sp: u64,
    bp: u64,
    /// The registers are known: those of the processor, or of a full exception frame at this address.
    regs: Option<u64>,
    first: bool,
}

impl Machine {
    /// The tables, if the names of their ends are known.
    pub(crate) fn orc(&self) -> Option<Orc> {
        let s = &self.debug.symbols;
        let ips = s.address("__start_orc_unwind_ip")?;
        let end = s.address("__stop_orc_unwind_ip")?;
        let entries = s.address("__start_orc_unwind")?;
        let count = end.checked_sub(ips)? / 4;
        let mut banner = [0; 32];
        let n = s.address("linux_banner").map_or(0, |at| self.peek(0, at, &mut banner));
        let new = is_new(&String::from_utf8_lossy(&banner[..n])).unwrap_or(false);
        (count > 0 && count < 16 << 20).then_some(Orc { ips, entries, count, new })
    }

    fn linear_u64(&self, cpu: usize, at: u64) -> Option<u64> {
        let mut b = [0; 8];
        (self.peek(cpu, at, &mut b) == 8).then(|| u64::from_le_bytes(b))
    }

    fn orc_ip(&self, cpu: usize, orc: &Orc, i: u64) -> Option<u64> {
        let at = orc.ips + 4 * i;
        let mut b = [0; 4];
        (self.peek(cpu, at, &mut b) == 4).then(|| at.wrapping_add(i64::from(i32::from_le_bytes(b)) as u64))
    }

    fn orc_entry(&self, cpu: usize, orc: &Orc, ip: u64) -> Option<Entry> {
        let (mut low, mut high) = (0, orc.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.orc_ip(cpu, orc, middle)? <= ip { low = middle + 1 } else { high = middle }
        }
        let at = orc.entries + 6 * low.checked_sub(1)?;
        let mut b = [0; 6];
        if self.peek(cpu, at, &mut b) < 6 {
            return None;
        }
        Some(Entry {
            sp_offset: i64::from(i16::from_le_bytes([b[0], b[1]])),
            bp_offset: i64::from(i16::from_le_bytes([b[2], b[3]])),
            sp_reg: b[4] & 15,
            bp_reg: b[4] >> 4,
            kind: kind_of(b[5], orc.new)?,
        })
    }

    /// Frames by the tables, from the processor's registers on, as far as kernel code goes; then whether and where user
    /// code was entered from: instruction, stack and frame pointer.
    pub(crate) fn orc_frames(&self, cpu: usize, orc: &Orc, most: usize) -> (Vec<Frame>, Option<[u64; 3]>) {
        let c = &self.cpus[cpu];
        let mut s = State { ip: c.rip, sp: c.gpr[gpr::RSP], bp: c.gpr[gpr::RBP], regs: None, first: true };
        let mut frames = vec![Frame { pc: s.ip, sp: s.sp, how: How::Registers }];
        while frames.len() < most {
            match self.orc_next(cpu, orc, &mut s) {
                Some((how, false)) => frames.push(Frame { pc: s.ip, sp: s.sp, how }),
                Some((_, true)) => return (frames, Some([s.ip, s.sp, s.bp])),
                None => break,
            }
        }
        (frames, None)
    }

    /// One frame up; whether it is user code.
    fn orc_next(&self, cpu: usize, orc: &Orc, s: &mut State) -> Option<(How, bool)> {
        // What a call returns to may be the next procedure's first byte; what was interrupted is exact.
        let exact = s.first || s.regs.is_some();
        let e = self.orc_entry(cpu, orc, if exact { s.ip } else { s.ip.wrapping_sub(1) })?;
        let c = &self.cpus[cpu];
        // Offsets of registers in pt_regs, and their numbers.
        let register = |number: usize, offset: u64| match s.regs {
            Some(regs) => self.linear_u64(cpu, regs + offset),
            None if s.first => Some(c.gpr[number]),
            None => None,
        };
        let off = |v: u64, o: i64| v.wrapping_add(o as u64);
        let sp = match e.sp_reg {
            SP => off(s.sp, e.sp_offset),
            BP => off(s.bp, e.sp_offset),
            SP_INDIRECT => off(self.linear_u64(cpu, s.sp)?, e.sp_offset),
            BP_INDIRECT => self.linear_u64(cpu, off(s.bp, e.sp_offset))?,
            R10 => register(10, 7 * 8)?,
            R13 => register(13, 2 * 8)?,
            DI => register(gpr::RDI, 14 * 8)?,
            DX => register(gpr::RDX, 12 * 8)?,
            _ => return None,
        };
        let before = s.sp;
        let (how, user) = match e.kind {
            // A call's frame: the return address is just below.
            Kind::Call => {
                let ip = self.linear_u64(cpu, sp.wrapping_sub(8))?;
                let bp = self.orc_bp(cpu, &e, s, sp);
                (s.ip, s.sp, s.regs) = (ip, sp, None);
                s.bp = bp?;
                (How::Orc, false)
            }
            // A full frame of registers, or only what the processor pushes.
            Kind::Registers | Kind::Partial => {
                let frame = if e.kind == Kind::Registers { sp + 16 * 8 } else { sp };
                let word = |n: u64| self.linear_u64(cpu, frame + 8 * n);
                let (ip, cs, up) = (word(0)?, word(1)?, word(3)?);
                let bp = if e.kind == Kind::Registers {
                    self.linear_u64(cpu, sp + 4 * 8)?
                } else {
                    self.orc_bp(cpu, &e, s, sp)?
                };
                (s.ip, s.sp, s.bp) = (ip, up, bp);
                s.regs = (e.kind == Kind::Registers).then_some(sp);
                let user = cs & 3 == 3;
                if !user && s.sp == before && s.ip == 0 {
                    return None;
                }
                (How::Interrupt, user)
            }
        };
        s.first = false;
        (s.ip != 0).then_some((how, user))
    }

    fn orc_bp(&self, cpu: usize, e: &Entry, s: &State, sp: u64) -> Option<u64> {
        match e.bp_reg {
            UNDEFINED => match s.regs {
                Some(regs) => self.linear_u64(cpu, regs + 4 * 8),
                None => Some(s.bp),
            },
            PREV_SP => self.linear_u64(cpu, sp.wrapping_add(e.bp_offset as u64)),
            BP => self.linear_u64(cpu, s.bp.wrapping_add(e.bp_offset as u64)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_is_read_by_version() {
        // orc_types.h: up to 6.3 CALL 0, REGS 1, REGS_PARTIAL 2 in two bits; from 6.4 on UNDEFINED 0, END_OF_STACK 1, CALL 2,
        // REGS 3, REGS_PARTIAL 4 in three; the bit above is `signal`.
        let all = |new| [0, 1, 2, 3, 4, 8 | 4].map(|b| kind_of(b, new));
        use Kind::{Call, Partial, Registers};
        assert_eq!(all(true), [None, None, Some(Call), Some(Registers), Some(Partial), Some(Partial)]);
        assert_eq!(all(false)[..3], [Some(Call), Some(Registers), Some(Partial)]);
        assert_eq!(is_new("Linux version 6.1.0-56-cloud"), Some(false));
        assert_eq!(is_new("Linux version 6.12.9+deb13-amd64"), Some(true));
        assert_eq!(is_new("nothing"), None);
    }
}
