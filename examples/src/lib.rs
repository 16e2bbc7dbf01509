//! Small guest programs of our own, assembled in Rust: the built-in [`tour`], and [`packet`], which drives a network card.

pub mod packet;
pub mod tour;
