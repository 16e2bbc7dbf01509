//! [`Machine`]: a PC with everything in it.

use crate::Input;
use crate::config::{Config, ConfigError};
use crate::outcome::{HostIo, Outcome, View};
use crate::screen::{Frame, TextScreen};
use crossbeam_channel::{Receiver, Sender};

/// Where [`Machine::run_until`] pauses (the run can go on afterwards).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until {
    /// When this many instructions have been completed since power-on, exactly.
    pub count: Option<u64>,
    /// When virtual time reaches this many nanoseconds.
    pub time_ns: Option<u64>,
}

/// A PC.
pub struct Machine {
    config: Config,
    sender: Option<Sender<Input>>,
    #[allow(dead_code)]
    receiver: Receiver<Input>,
}

impl Machine {
    /// Builds the machine and loads what the configuration names. Nothing runs yet.
    pub fn new(config: Config) -> Result<Machine, ConfigError> {
        config.validate()?;
        let (sender, receiver) = crossbeam_channel::unbounded();
        Ok(Machine { config, sender: Some(sender), receiver })
    }

    /// The configuration that it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A sender of inputs. While any lives, input is live (see the crate's head). Call it before running.
    pub fn connect(&mut self) -> Sender<Input> {
        self.sender.as_ref().expect("connect is called before the first run").clone()
    }

    /// Runs until the machine ends.
    pub fn run(&mut self, io: &mut dyn HostIo) -> Outcome {
        self.run_until(io, Until::default()).unwrap_or(Outcome::Quit)
    }

    /// Runs until the machine ends (`Some`) or `until` is reached (`None`).
    pub fn run_until(&mut self, io: &mut dyn HostIo, until: Until) -> Option<Outcome> {
        let _ = (io, until);
        self.sender = None;
        Some(Outcome::NothingPending)
    }

    /// Hash of all guest-visible state, at the current count.
    pub fn state_hash(&mut self) -> u64 {
        0
    }

    /// The whole state as bytes of a snapshot file.
    pub fn save(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes over the state of a snapshot made by a machine of the same configuration.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), ConfigError> {
        let _ = bytes;
        Ok(())
    }

    /// The screen as a PNG file.
    pub fn screenshot_png(&self) -> Result<Vec<u8>, String> {
        self.screen().to_png()
    }
}

impl View for Machine {
    fn screen(&self) -> Frame {
        Frame::default()
    }
    fn text_screen(&self) -> Option<TextScreen> {
        None
    }
    fn now_ns(&self) -> u64 {
        0
    }
    fn count(&self) -> u64 {
        0
    }
    fn screen_epoch(&self) -> u64 {
        0
    }
    fn keyboard_lamps(&self) -> u8 {
        0
    }
    fn idle(&self) -> bool {
        true
    }
}
