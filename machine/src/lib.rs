//! The PC: memory map, board, main loop, clocks, configuration, loaders, disks, script, snapshots and state hash.
//!
//! Three things to know:
//! 1. [`Config`] says what to build; [`Machine::new`] builds it or says in one line why not.
//! 2. [`Machine::connect`] gives senders of [`Input`] for as many threads as there are sources (keyboard, serial, ...).
//!    While one of them lives, input is *live*: idle time passes at wall speed. When all are dropped, idle time is
//!    skipped under the virtual clock, and a machine in which nothing is pending ends.
//! 3. [`Machine::run`] runs until an [`Outcome`]; it calls the given [`HostIo`] for output, and from time to time with
//!    a [`View`] of the machine so that the screen can be shown.

pub mod board;
pub mod config;
pub mod debug;
mod hash;
pub mod input;
pub mod inputs;
pub mod load;
mod machine;
pub mod media;
pub mod net;
pub mod outcome;
mod pacer;
pub mod record;
pub mod report;
pub mod screen;
pub mod script;
mod snapshot;
pub mod tables;

pub use config::{Config, ConfigError};
pub use input::{Input, Key, MouseButton};
pub use inputs::Inputs;
/// The processor's state, for those who look at it.
pub use lucid86_cpu::state as cpu;
pub use machine::{Machine, Until};
pub use media::Image;
pub use outcome::{Collect, HostIo, NoIo, Outcome, View};
pub use screen::{Cell, Frame, TextScreen};
