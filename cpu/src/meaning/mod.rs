//! What each instruction means, written once over [`crate::ops::Ops`], and [`select`], which finds the meaning of a decoded
//! instruction.
//!
//! - [`alu`], [`moves`]: integer instructions; [`tail`]: their long tail and the system instructions, as helpers.
//! - [`x87`], [`sse`] (with its shapes in [`vector`]): floating point and vectors, over `crate::fpu` and `crate::simd`.
//! - [`operand`]: operand shapes.
//! - [`features`]: which instructions a [`crate::model::CpuModel`] has.

pub mod alu;
pub mod features;
pub mod moves;
pub mod operand;
mod select;
pub mod sse;
mod system;
pub mod tail;
pub mod vector;
pub mod x87;

pub use select::{escape, pop_cs, select};
