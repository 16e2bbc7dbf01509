//! [`Exec`]: everything an instruction can reach while it runs, and the clock it runs by.

use crate::state::{Activity, Shadow, flag};
use crate::{Board, Cpu, Memory, board::Moment, derived::Derived};
use serde::{Deserialize, Serialize};

/// The virtual clock within one slice: `time = t0 + (count - n0) * rate`. DESIGN §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Count of instructions at which this sample was taken.
    pub n0: u64,
    /// Virtual time then, in nanoseconds.
    pub t0_ns: u64,
    /// Nanoseconds an instruction, as a 32.32 fixed-point number.
    pub rate: u64,
}

impl Clock {
    /// One nanosecond an instruction: the rate of `--clock virtual`.
    pub const ONE_NS: u64 = 1 << 32;

    /// Virtual time in nanoseconds at instruction `count` (not below `n0`).
    pub fn time_ns(&self, count: u64) -> u64 {
        self.t0_ns + ((u128::from(count - self.n0) * u128::from(self.rate)) >> 32) as u64
    }

    /// The first count at which `time_ns` is at least `t_ns`.
    pub fn count_at(&self, t_ns: u64) -> u64 {
        if t_ns <= self.t0_ns {
            return self.n0;
        }
        let n = (u128::from(t_ns - self.t0_ns) << 32).div_ceil(u128::from(self.rate.max(1)));
        self.n0.saturating_add(u64::try_from(n).unwrap_or(u64::MAX))
    }
}

/// One processor at work: its state, guest memory, what is derived from both (TLB, decoded blocks), the board, and
/// where in time it is. Lives for one call of the engine.
pub struct Exec<'a> {
    /// The processor's saved state.
    pub cpu: &'a mut Cpu,
    /// Guest-physical memory and its map.
    pub mem: &'a mut Memory,
    /// Caches that can be dropped at any moment without the guest noticing.
    pub derived: &'a mut Derived,
    /// The machine around the processor.
    pub board: &'a mut dyn Board,
    /// The clock of this slice.
    pub clock: Clock,
    /// Count of completed instructions (all processors together), exact whenever helper code runs.
    pub count: u64,
    /// The slice ends when `count` reaches this.
    pub limit: u64,
}

impl Exec<'_> {
    /// Whether control may go straight on after an instruction that may have changed anything: nothing has come up that is
    /// looked at between instructions. Status flags are exact; `left`: instructions that may still run in this slice.
    pub(crate) fn smooth(&mut self, left: u64) -> bool {
        let d = &*self.derived;
        let c = &mut *self.cpu;
        let quiet = !d.attention
            && d.code_touched.is_empty()
            && c.pending_debug == 0
            && c.rflags & (flag::TF | flag::RF) == 0
            && c.activity == Activity::Running
            && !(c.nmi_pending || c.smi_pending)
            && !(c.intr && c.rflags & flag::IF != 0)
            && !c.has_code_breakpoints();
        if !quiet {
            return false;
        }
        match c.shadow {
            Shadow::None => true,
            // Nothing is pending and nothing can come before the next instruction, if that still runs in this slice.
            Shadow::Sti if left > 0 && !c.intr => {
                c.shadow = Shadow::None;
                true
            }
            _ => false,
        }
    }

    /// Virtual time of the current instruction.
    pub fn now_ns(&self) -> u64 {
        self.clock.time_ns(self.count)
    }

    /// This processor, now.
    pub fn moment(&self) -> Moment {
        Moment { cpu: self.cpu.index, now_ns: self.now_ns() }
    }

    /// The time-stamp counter: 1 GHz of virtual time plus the processor's offset.
    pub fn tsc(&self) -> u64 {
        self.now_ns().wrapping_add(self.cpu.msr.tsc_offset)
    }
}

/// How an engine's run ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `count` reached `limit`.
    Limit,
    /// The board asked for the slice to end ([`Board::slice_must_end`]).
    Board,
    /// HLT (or MWAIT-like wait): nothing to do until an interrupt, NMI, SMI, INIT or reset.
    Halted,
    /// A third fault while delivering a double fault: shutdown. The machine resets or reports.
    TripleFault,
    /// PAUSE with other processors waiting for their turn.
    Yield,
    /// A debugger's breakpoint or watchpoint (with the machine's debugger attached).
    Debug,
}
