//! What each instruction means, written once over [`crate::ops::Ops`], and [`select`], which finds the meaning of a decoded
//! instruction.
//!
//! - [`alu`], [`moves`]: integer instructions; [`tail`]: their long tail and the system instructions, as helpers.
//! - [`operand`]: operand shapes.
//! - [`features`]: which instructions a [`CpuModel`] has.

pub mod alu;
pub mod features;
pub mod moves;
pub mod operand;
mod select;
mod system;
pub mod tail;

#[allow(unused_imports)]
use crate::model::CpuModel;
pub use select::select;
