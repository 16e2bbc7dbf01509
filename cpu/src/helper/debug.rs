//! Debug registers and code and I/O breakpoints. Follows Intel SDM volume 3, chapter 18 (17 in older editions).
//! Data breakpoints are seen in [`crate::mmu`].

use super::system::require_cpl0;
use crate::fault::Fault;
use crate::mmu::armed_breakpoint;
use crate::state::{cr4, flag};
use crate::watch::Event;
use crate::{Cpu, Exec};

const GD: u64 = 1 << 13;
const DR6_ONES: u64 = 0xffff_0ff0;
const DR7_ONES: u64 = 1 << 10;

/// The number that a DR4 or DR5 access means: DR6 and DR7, or #UD with CR4.DE.
fn real_number(x: &Exec, n: u8) -> Result<u8, Fault> {
    match n {
        4 | 5 if x.cpu.cr4 & cr4::DE != 0 => Err(Fault::ud()),
        4 | 5 => Ok(n + 2),
        0..=7 => Ok(n),
        _ => Err(Fault::ud()),
    }
}

fn check(x: &mut Exec, n: u8) -> Result<u8, Fault> {
    let n = real_number(x, n)?;
    require_cpl0(x)?;
    if x.cpu.dr7 & GD != 0 {
        return Err(Fault::db(1 << 13));
    }
    Ok(n)
}

/// MOV from DRn.
pub fn mov_from_dr(x: &mut Exec, n: u8) -> Result<u64, Fault> {
    let n = check(x, n)?;
    x.event(|| Event::Dr { n, written: None });
    Ok(match n {
        6 => x.cpu.dr6,
        7 => x.cpu.dr7,
        n => x.cpu.dr[n as usize],
    })
}

/// MOV to DRn.
pub fn mov_to_dr(x: &mut Exec, n: u8, v: u64) -> Result<(), Fault> {
    let n = check(x, n)?;
    let v = if x.cpu.is_64() { v } else { v & 0xffff_ffff };
    if n >= 6 && v >> 32 != 0 {
        return Err(Fault::gp(0));
    }
    x.event(|| Event::Dr { n, written: Some(v) });
    match n {
        6 => x.cpu.dr6 = v & 0xe00f | DR6_ONES,
        7 => x.cpu.dr7 = v & 0xffff_2bff | DR7_ONES,
        n => x.cpu.dr[n as usize] = v,
    }
    // Pages with armed data breakpoints must not hit in the TLB any more (or may again).
    x.derived.tlb.void_all();
    Ok(())
}

impl Cpu {
    /// Whether any instruction breakpoint is armed: the engine then asks [`code_breakpoint`] before each instruction.
    #[inline]
    pub fn has_code_breakpoints(&self) -> bool {
        self.dr7 & 0xff != 0
            && (0..4).any(|i| armed_breakpoint(self, i).is_some_and(|(_, _, kind)| kind == 0))
    }
}

/// The #DB that instruction breakpoints raise at the linear address of the next instruction, unless RF is set.
pub fn code_breakpoint(cpu: &Cpu, linear: u64) -> Option<Fault> {
    if cpu.rflags & flag::RF != 0 {
        return None;
    }
    let mut hit = 0;
    for i in 0..4 {
        let armed = armed_breakpoint(cpu, i).is_some_and(|(_, _, kind)| kind == 0);
        if armed && cpu.dr[i] == linear {
            hit |= 1 << i;
        }
    }
    (hit != 0).then_some(Fault::db(hit))
}

/// Notes I/O breakpoints (CR4.DE): they trap after the instruction.
pub(crate) fn note_io(x: &mut Exec, port: u16, width: u8) {
    x.event(|| Event::Port { port, width });
    if x.cpu.dr7 & 0xff == 0 || x.cpu.cr4 & cr4::DE == 0 {
        return;
    }
    for i in 0..4 {
        let Some((at, len, kind)) = armed_breakpoint(x.cpu, i) else { continue };
        let (port, width) = (u64::from(port), u64::from(width));
        if kind == 2 && port < at.wrapping_add(len) && at < port + width {
            x.cpu.pending_debug |= 1 << i;
        }
    }
}
