//! Proof that the emulator is right, from outside sources. The folder is a list of oracles:
//!
//! - [`captures`]: instruction tests captured from real 8086 and 80286 processors;
//! - [`flat`]: small programs whose results were read off a real processor;
//! - [`fuzz`]: random bytes, instructions and programs;
//! - [`guests`]: real software from Debian's packages;
//! - [`inject`]: each memory access made to fault;
//! - [`instructions`]: the table of what is supported;
//! - [`lockstep`]: a whole machine run twice in different ways, compared by state hash;
//! - [`oracle`]: single instructions on the host's own processor;
//! - [`sessions`]: a session at Linux's shell whose end must not depend on how it is run;
//! - [`rig`]: a processor with memory and nothing else, for instruction tests;
//! - [`wire`]: frames of the network, made and read by hand.

pub mod captures;
pub mod flat;
pub mod fuzz;
pub mod guests;
pub mod inject;
pub mod instructions;
pub mod lockstep;
pub mod oracle;
pub mod recordings;
pub mod rig;
pub mod rng;
pub mod sessions;
pub mod speed;
pub mod tally;
pub mod wire;
