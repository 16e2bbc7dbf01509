//! The interpreter: [`Direct`], the `Ops` whose values are plain integers, and the engine that runs decoded blocks.

use crate::{
    Exec, Fault,
    insn::Insn,
    ops::{Done, Meaning},
};

/// A processor at work on the interpreter: [`Exec`] and what is kept while a block runs.
pub struct Direct<'a> {
    /// What the instruction can reach.
    pub x: Exec<'a>,
    /// The fault that a [`crate::ops::Bail`] announced.
    pub(crate) fault: Option<Fault>,
}

/// Code that runs one decoded instruction.
pub type Handler = for<'a, 'b, 'c> fn(&'a mut Direct<'b>, &'c Insn) -> Done;

/// The handler of a meaning.
pub fn handler<M: Meaning>() -> Handler {
    fn unsupported(d: &mut Direct<'_>, _: &Insn) -> Done {
        d.fault = Some(Fault::ud());
        Err(crate::ops::Bail::Fault)
    }
    unsupported
}
