//! The long tail of the processor: everything that both engines call rather than inline. Delivery of exceptions and
//! interrupts, far transfers, task switches, system registers, CPUID and MSRs.
//!
//! Convention: a helper runs with `x.cpu.rip` at the start of the instruction and exact flags; it takes the address of
//! the next instruction where it needs it, sets `x.cpu.rip` itself when it completes a transfer, and on `Err(Fault)`
//! has changed nothing but what DESIGN §2 lists.

pub mod control;
pub mod cpuid;
pub mod debug;
pub mod descriptor;
pub mod far;
pub mod fast;
pub mod flags;
pub mod interrupt;
pub mod iret;
pub mod msr;
mod reset;
pub mod segment;
pub mod smm;
mod stack;
pub mod system;
mod task;
pub mod vector;
pub mod x87;
pub mod xsave;

pub use control::{clts, lmsw, mov_from_cr, mov_to_cr, require_osxsave, smsw, xgetbv, xsetbv};
pub use cpuid::cpuid;
pub use debug::{code_breakpoint, mov_from_dr, mov_to_dr};
pub use far::{far_call, far_jump, far_ret};
pub use fast::{syscall, sysenter, sysexit, sysret};
pub use flags::{cli, popf, pushf, sti};
pub use interrupt::{SoftKind, deliver_fault, deliver_interrupt, deliver_nmi, soft_int};
pub use iret::iret;
pub use msr::{rdmsr, wrmsr};
pub use segment::{arpl, lldt, load_segment, look, ltr, sldt, str, verify};
pub use smm::{enter_smm, rsm};
pub use system::{
    check_io, hlt, invlpg, invpcid, lgdt, lidt, monitor, mwait, port_in, port_in_row, port_out, port_out_row,
    rdpmc, rdtsc, rdtscp, read_segment_base, set_ac, sgdt, sidt, swapgs, wbinvd, write_segment_base,
};
