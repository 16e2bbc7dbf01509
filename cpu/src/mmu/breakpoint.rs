//! Data breakpoints of DR0-DR3, seen from memory. A page with an armed one never hits in the TLB for data, so nothing set
//! costs nothing. Follows Intel SDM volume 3, section 18.2 (17.2 in older editions).

use super::Access;
use crate::state::Cpu;

/// Bytes and kind of breakpoint `i`, if armed: (address, length, kind of DR7.R/W).
pub(crate) fn armed(cpu: &Cpu, i: usize) -> Option<(u64, u64, u8)> {
    if cpu.dr7 >> (2 * i) & 3 == 0 {
        return None;
    }
    let kind = (cpu.dr7 >> (16 + 4 * i) & 3) as u8;
    let len = [1, 2, 8, 4][(cpu.dr7 >> (18 + 4 * i) & 3) as usize];
    Some((cpu.dr[i] & !(len - 1), len, kind))
}

/// Whether a data breakpoint lies in the page of `linear`.
pub(super) fn page_watched(cpu: &Cpu, linear: u64) -> bool {
    cpu.dr7 & 0xff != 0
        && (0..4)
            .any(|i| armed(cpu, i).is_some_and(|(at, _, kind)| kind & 1 != 0 && at >> 12 == linear >> 12))
}

/// Notes which breakpoints an access of `n` bytes hits: they are reported when the instruction has ended.
pub(super) fn note(cpu: &mut Cpu, linear: u64, n: u64, access: Access) {
    for i in 0..4 {
        let Some((at, len, kind)) = armed(cpu, i) else { continue };
        let wanted = kind == 3 || kind == 1 && access == Access::Write;
        if wanted && linear < at.wrapping_add(len) && at < linear.wrapping_add(n) {
            cpu.pending_debug |= 1 << i;
        }
    }
}
