//! The interpreter: [`Direct`], the `Ops` whose values are plain integers, and the engine ([`run`]) that runs decoded
//! blocks.
//!
//! Not here: what instructions mean (`crate::meaning`), how events are delivered (`crate::helper`).

pub mod blocks;
mod direct;
pub mod flags;
pub mod pairs;
mod run;
pub mod string;
mod traces;

pub(crate) use direct::vec_access;
pub(crate) use run::one;
pub use run::run;

use crate::{
    Exec, Fault,
    insn::{Insn, ModeKey},
    ops::{Done, Meaning, Select},
};

/// A processor at work on the interpreter: [`Exec`] and what is kept while a block runs.
pub struct Direct<'a> {
    /// What the instruction can reach. In the middle of a block `count`, `cpu.rip` and the status flags in `cpu.rflags`
    /// are stale unless [`crate::ops::Ops::call`] has put them in place.
    pub x: Exec<'a>,
    /// Status flags.
    flags: flags::Flags,
    /// Address of byte 0 of the running block's page (wrapping).
    rip_base: u64,
    /// `count` when the block began.
    count0: u64,
    /// Number of the running instruction in its block.
    at: u32,
    /// The block stops before this instruction; zero when it must stop after the running one.
    stop_at: u32,
    /// Something must be looked at before the next block.
    attention: bool,
    /// The fault that a [`crate::ops::Bail`] announced.
    fault: Option<Fault>,
    /// The faulting code has put RIP where the fault is to be reported.
    placed: bool,
    /// Mode of the blocks to run; valid unless `attention`.
    key: ModeKey,
}

/// Code that runs one decoded instruction.
pub type Handler = for<'a, 'b, 'c> fn(&'a mut Direct<'b>, &'c Insn) -> Done;

/// The handler of a meaning.
pub fn handler<M: Meaning>() -> Handler {
    fn run<M: Meaning>(d: &mut Direct<'_>, i: &Insn) -> Done {
        M::run(d, i)
    }
    run::<M>
}

/// Makes handlers of meanings.
pub struct Handlers;

impl Select for Handlers {
    type Out = blocks::Choice;
    fn take<M: Meaning>(self) -> blocks::Choice {
        blocks::Choice { handler: handler::<M>(), end: M::END, build: crate::jit::builder::build::<M>() }
    }
}
