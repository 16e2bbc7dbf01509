//! The long tail of the processor: everything that both engines call rather than inline. Delivery of exceptions and
//! interrupts, far transfers, task switches, system registers, CPUID and MSRs.
//!
//! Convention: a helper runs with `x.cpu.rip` at the start of the instruction and exact flags; it takes the address of
//! the next instruction where it needs it, sets `x.cpu.rip` itself when it completes a transfer, and on `Err(Fault)`
//! has changed nothing but what DESIGN §2 lists.
