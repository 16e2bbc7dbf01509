//! Small guest programs of our own, assembled in Rust: the built-in [`tour`].

pub mod tour;
