//! What the processor asks of the machine around it. The machine implements [`Board`]; this crate imports
//! nothing of the machine.

use crate::memory::Memory;
use crate::{Cpu, Fault};

/// Who asks, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Index of the processor in the machine.
    pub cpu: usize,
    /// Virtual time in nanoseconds at the current instruction.
    pub now_ns: u64,
}

/// The board as the processor sees it: ports, memory-mapped chips, interrupt acknowledge, the local APIC's
/// processor-side registers. `width` is 1, 2, 4 (or 8 for chips in memory) bytes.
pub trait Board {
    /// IN from `port`. A port that nothing drives floats high.
    fn port_in(&mut self, mem: &mut Memory, at: Moment, port: u16, width: u8) -> u32;
    /// OUT to `port`.
    fn port_out(&mut self, mem: &mut Memory, at: Moment, port: u16, width: u8, value: u32);
    /// The first of a row of INs from one port at once, for REP INS: fills `to` with whole accesses as far as that makes
    /// no difference to `port_in` called for each, and says how many bytes there are. Zero: one by one, please.
    fn port_in_row(
        &mut self,
        _mem: &mut Memory,
        _at: Moment,
        _port: u16,
        _width: u8,
        _to: &mut [u8],
    ) -> usize {
        0
    }
    /// The first of a row of OUTs to one port at once, for REP OUTS: how many bytes of `from` were taken.
    fn port_out_row(
        &mut self,
        _mem: &mut Memory,
        _at: Moment,
        _port: u16,
        _width: u8,
        _from: &[u8],
    ) -> usize {
        0
    }
    /// Read from memory-mapped chip `region` (as entered in the memory map) at physical address `addr`.
    fn chip_read(&mut self, mem: &mut Memory, at: Moment, region: u16, addr: u64, width: u8) -> u64;
    /// Write to memory-mapped chip `region`.
    fn chip_write(&mut self, mem: &mut Memory, at: Moment, region: u16, addr: u64, width: u8, value: u64);
    /// Interrupt acknowledge: the vector of the interrupt that INTR announces. Called once for each accepted one.
    fn acknowledge(&mut self, mem: &mut Memory, at: Moment) -> u8;
    /// Whether the interrupt line is (still) asserted for this processor; asked after each call above.
    fn interrupt_line(&self, cpu: usize) -> bool;
    /// CR8: the task priority class of the processor's local APIC (bits 3:0).
    fn task_priority(&self, cpu: usize) -> u8;
    /// MOV to CR8.
    fn set_task_priority(&mut self, cpu: usize, class: u8);
    /// RDMSR of an APIC register: IA32_APIC_BASE (1Bh) and x2APIC 800h-8FFh. `None` raises #GP(0).
    fn apic_msr_read(&mut self, at: Moment, msr: u32) -> Option<u64>;
    /// WRMSR of an APIC register. `None` raises #GP(0).
    fn apic_msr_write(&mut self, mem: &mut Memory, at: Moment, msr: u32, value: u64) -> Option<()>;
    /// A processor entered (`inside`) or left system-management mode: SMRAM appears in or goes from the memory map.
    fn smm_changed(&mut self, _mem: &mut Memory, _at: Moment, _inside: bool) {}
    /// An exception or interrupt is about to be delivered at the processor's current state: for logs and reports only.
    fn delivering(&mut self, _at: Moment, _cpu: &Cpu, _fault: &Fault, _external: bool) {}
    /// True when something that the processor did (a port write that raised a line, moved a deadline nearer, changed
    /// the memory map or A20, asked for reset or power-off) means that the slice must end before the next
    /// instruction. Asked after each call into the board; the machine clears it at the slice boundary.
    fn slice_must_end(&self) -> bool;
}
