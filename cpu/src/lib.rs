//! The x86 processor: decoding, what each instruction means, the interpreter, address translation and
//! guest memory. Knows no chip: it meets the rest of the machine through [`Board`].
//!
//! Manuals: Intel SDM volumes 1-3 and AMD APM volumes 1-5, cited by section in each module's head.

pub mod board;
pub mod decode;
pub mod derived;
pub mod effects;
pub mod exec;
pub mod fault;
pub mod fpu;
pub mod helper;
pub mod insn;
pub mod interp;
pub mod jit;
pub mod meaning;
pub mod memory;
pub mod mmu;
pub mod model;
pub mod ops;
pub mod report;
pub mod simd;
pub mod state;
pub mod watch;

pub use board::Board;
pub use exec::{Clock, Exec};
pub use fault::{Fault, FaultCode, Vector};
pub use memory::Memory;
pub use state::Cpu;
