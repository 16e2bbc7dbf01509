//! PS/2 mouse with the IntelliMouse extensions: a wheel (ID 3) and five buttons (ID 4).
//!
//! Follows: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Microsoft's knock sequences for the wheel
//! (sample rates 200, 100, 80) and for five buttons (200, 200, 80). Tests at the foot.

use crate::Time;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What the host may send.
mod command {
    pub const SCALING_1_1: u8 = 0xE6;
    pub const SCALING_2_1: u8 = 0xE7;
    pub const SET_RESOLUTION: u8 = 0xE8;
    pub const STATUS_REQUEST: u8 = 0xE9;
    pub const STREAM_MODE: u8 = 0xEA;
    pub const READ_DATA: u8 = 0xEB;
    pub const RESET_WRAP: u8 = 0xEC;
    pub const WRAP_MODE: u8 = 0xEE;
    pub const REMOTE_MODE: u8 = 0xF0;
    pub const READ_ID: u8 = 0xF2;
    pub const SET_SAMPLE_RATE: u8 = 0xF3;
    pub const ENABLE: u8 = 0xF4;
    pub const DISABLE: u8 = 0xF5;
    pub const SET_DEFAULT: u8 = 0xF6;
    pub const RESEND: u8 = 0xFE;
    pub const RESET: u8 = 0xFF;
}

const ACK: u8 = 0xFA;
const ERROR: u8 = 0xFC;
const RESEND: u8 = 0xFE;
const BAT_PASSED: u8 = 0xAA;

const BUFFER: usize = 16;
/// The longest report.
const LONGEST: usize = 4;
const BAT_NS: u64 = 2_000_000;
/// Movement that has not been sent is kept up to this much.
const FARTHEST: i32 = 4095;

/// Buttons of [`Motion`].
#[allow(missing_docs)]
pub mod button {
    pub const LEFT: u8 = 1 << 0;
    pub const RIGHT: u8 = 1 << 1;
    pub const MIDDLE: u8 = 1 << 2;
    pub const BACK: u8 = 1 << 3;
    pub const FORWARD: u8 = 1 << 4;
}

/// What the hand did to the mouse since last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Motion {
    /// Counts to the right.
    pub dx: i32,
    /// Counts down (towards the user), as on a screen.
    pub dy: i32,
    /// Notches of the wheel, positive towards the user (scrolls down).
    pub wheel: i32,
    /// Buttons held now: a set of [`button`] bits.
    pub buttons: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    /// Reports by itself.
    Stream,
    /// Reports when asked.
    Remote,
}

/// The mouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mouse {
    mode: Mode,
    wrap: bool,           // echoes everything
    reporting: bool,      // enabled, for stream mode
    scaling: bool,        // 2:1
    resolution: u8,       // 0 to 3: 1, 2, 4, 8 counts a millimetre
    rate: u8,             // samples a second
    knock: [u8; 2],       // the sample rates set before this one
    id: u8,               // 0 plain, 3 wheel, 4 five buttons
    awaiting: Option<u8>, // command whose parameter is to come
    replies: VecDeque<u8>,
    last_sent: u8,
    bat_at: Option<Time>, // the self test ends
    motion: Motion,       // not yet reported
    reported: u8,         // buttons in the last report
    next_sample: Time,    // no report in stream mode before this
}

impl Default for Mouse {
    fn default() -> Self {
        Self::new()
    }
}

impl Mouse {
    /// A mouse that has passed its self test: stream mode, not reporting.
    pub fn new() -> Self {
        Mouse {
            mode: Mode::Stream,
            wrap: false,
            reporting: false,
            scaling: false,
            resolution: 2,
            rate: 100,
            knock: [0; 2],
            id: 0,
            awaiting: None,
            replies: VecDeque::new(),
            last_sent: 0,
            bat_at: None,
            motion: Motion::default(),
            reported: 0,
            next_sample: Time(0),
        }
    }

    /// The mouse moves, or its buttons change.
    pub fn input(&mut self, motion: Motion) {
        let add = |sum: i32, more: i32| sum.saturating_add(more).clamp(-FARTHEST, FARTHEST);
        self.motion = Motion {
            dx: add(self.motion.dx, motion.dx),
            dy: add(self.motion.dy, motion.dy),
            wheel: add(self.motion.wheel, motion.wheel),
            buttons: motion.buttons & 0x1F,
        };
        if !self.streams() && self.mode == Mode::Stream {
            self.motion = Motion { buttons: self.motion.buttons, ..Motion::default() };
        }
    }

    /// Whether the guest listens: a front end may use it to decide whether to grab the host's pointer.
    pub fn streams(&self) -> bool {
        self.reporting && self.mode == Mode::Stream && !self.wrap && self.bat_at.is_none()
    }

    /// A byte from the host.
    pub fn write(&mut self, now: Time, byte: u8) {
        self.settle(now);
        if self.wrap && byte != command::RESET_WRAP && byte != command::RESET {
            return self.reply(byte);
        }
        match self.awaiting.take() {
            Some(command) => self.parameter(command, byte),
            None => self.command(now, byte),
        }
    }

    /// When a byte may be there for [`Mouse::take`], if nothing else happens.
    pub fn ready(&self) -> Option<Time> {
        if !self.replies.is_empty() {
            return Some(Time(0));
        }
        let sample = (self.streams() && self.moved()).then_some(self.next_sample);
        [self.bat_at, sample].into_iter().flatten().min()
    }

    /// The next byte for the host.
    pub fn take(&mut self, now: Time) -> Option<u8> {
        self.settle(now);
        if self.replies.is_empty() && self.streams() && self.moved() && self.next_sample <= now {
            self.packet(self.scaling);
            self.next_sample = Time(now.0.saturating_add(1_000_000_000 / u64::from(self.rate.max(1))));
        }
        let byte = self.replies.pop_front()?;
        self.last_sent = byte;
        Some(byte)
    }

    fn settle(&mut self, now: Time) {
        if self.bat_at.is_some_and(|at| at <= now) {
            self.bat_at = None;
            self.reply(BAT_PASSED);
            self.reply(0); // ID
        }
    }

    fn moved(&self) -> bool {
        let wheel = if self.id == 0 { 0 } else { self.motion.wheel };
        (self.motion.dx, self.motion.dy, wheel) != (0, 0, 0)
            || (self.motion.buttons ^ self.reported) & self.buttons_known() != 0
    }

    fn buttons_known(&self) -> u8 {
        if self.id == 4 { 0x1F } else { 0x07 }
    }

    fn reply(&mut self, byte: u8) {
        if self.replies.len() < BUFFER {
            self.replies.push_back(byte);
        }
    }

    /// Queues a movement report. What doesn't fit in one stays for the next.
    fn packet(&mut self, scaling: bool) {
        let step = |pending: &mut i32, limit: i32| {
            let sent = (*pending).clamp(-limit, limit);
            *pending -= sent;
            sent
        };
        let limit = if scaling { 127 } else { 255 };
        let mut x = step(&mut self.motion.dx, limit);
        let mut y = -step(&mut self.motion.dy, limit);
        if scaling {
            (x, y) = (scale(x), scale(y));
        }
        let buttons = self.motion.buttons;
        let signs = u8::from(x < 0) << 4 | u8::from(y < 0) << 5;
        self.reported = buttons;
        self.reply(buttons & 7 | 0x08 | signs);
        self.reply(x as u8);
        self.reply(y as u8);
        match self.id {
            3 => {
                let z = step(&mut self.motion.wheel, 127);
                self.reply(z as u8);
            }
            4 => {
                let z = step(&mut self.motion.wheel, 7);
                self.reply(z as u8 & 0x0F | (buttons & (button::BACK | button::FORWARD)) << 1);
            }
            _ => self.motion.wheel = 0,
        }
    }

    fn set_defaults(&mut self) {
        let kept = self.motion.buttons;
        *self = Mouse {
            id: self.id,
            last_sent: self.last_sent,
            replies: std::mem::take(&mut self.replies),
            next_sample: self.next_sample,
            reported: self.reported,
            ..Mouse::new()
        };
        self.motion.buttons = kept;
    }

    fn parameter(&mut self, command: u8, byte: u8) {
        match command {
            command::SET_RESOLUTION if byte <= 3 => self.resolution = byte,
            command::SET_SAMPLE_RATE if matches!(byte, 10 | 20 | 40 | 60 | 80 | 100 | 200) => {
                self.rate = byte;
                match self.knock {
                    [200, 100] if byte == 80 => self.id = 3,
                    [200, 200] if byte == 80 => self.id = 4,
                    _ => {}
                }
                self.knock = [self.knock[1], byte];
            }
            _ => return self.reply(ERROR),
        }
        self.reply(ACK);
    }

    fn command(&mut self, now: Time, byte: u8) {
        match byte {
            command::SCALING_1_1 | command::SCALING_2_1 => self.scaling = byte == command::SCALING_2_1,
            command::SET_RESOLUTION | command::SET_SAMPLE_RATE => self.awaiting = Some(byte),
            command::STATUS_REQUEST => return self.status(),
            command::STREAM_MODE => self.mode = Mode::Stream,
            command::REMOTE_MODE => self.mode = Mode::Remote,
            command::READ_DATA => {
                self.reply(ACK);
                if self.replies.len() + LONGEST <= BUFFER {
                    self.packet(false);
                }
                return;
            }
            command::RESET_WRAP => self.wrap = false,
            command::WRAP_MODE => self.wrap = true,
            command::READ_ID => {
                self.reply(ACK);
                return self.reply(self.id);
            }
            command::ENABLE => self.reporting = true,
            command::DISABLE => self.reporting = false,
            command::SET_DEFAULT => self.set_defaults(),
            command::RESEND => return self.reply(self.last_sent),
            command::RESET => {
                self.replies.clear();
                self.id = 0;
                self.set_defaults();
                self.bat_at = Some(Time(now.0.saturating_add(BAT_NS)));
            }
            _ => return self.reply(RESEND),
        }
        self.reply(ACK);
    }

    fn status(&mut self) {
        let held = |bit: u8, place: u8| if self.motion.buttons & bit != 0 { place } else { 0 };
        let buttons = held(button::LEFT, 4) | held(button::MIDDLE, 2) | held(button::RIGHT, 1);
        let flags = u8::from(self.mode == Mode::Remote) << 6
            | u8::from(self.reporting) << 5
            | u8::from(self.scaling) << 4;
        let answer = [ACK, flags | buttons, self.resolution, self.rate];
        answer.into_iter().for_each(|byte| self.reply(byte));
    }
}

/// The 2:1 scaling of stream mode.
fn scale(counts: i32) -> i32 {
    let scaled = match counts.abs() {
        n @ 0..=1 => n,
        2 => 1,
        3 => 3,
        4 => 6,
        5 => 9,
        n => 2 * n,
    };
    scaled * counts.signum()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Line {
        mouse: Mouse,
        now: Time,
    }

    impl Line {
        fn new() -> Self {
            Line { mouse: Mouse::new(), now: Time(0) }
        }

        fn streaming() -> Self {
            let mut line = Self::new();
            assert_eq!(line.ask(&[0xF4]), [0xFA]);
            line
        }

        fn sent(&mut self) -> Vec<u8> {
            std::iter::from_fn(|| self.mouse.take(self.now)).collect()
        }

        fn ask(&mut self, bytes: &[u8]) -> Vec<u8> {
            bytes.iter().for_each(|byte| self.mouse.write(self.now, *byte));
            self.sent()
        }

        fn rates(&mut self, rates: [u8; 3]) -> u8 {
            for rate in rates {
                self.ask(&[0xF3, rate]);
            }
            self.ask(&[0xF2])[1]
        }

        fn move_by(&mut self, dx: i32, dy: i32, wheel: i32, buttons: u8) -> Vec<u8> {
            self.mouse.input(Motion { dx, dy, wheel, buttons });
            self.now.0 += 25_000_000;
            self.sent()
        }
    }

    #[test]
    fn reports_movement_with_y_upwards() {
        let mut line = Line::streaming();
        assert_eq!(line.move_by(5, 3, 0, 0), [0x28, 5, 0xFD]);
        assert_eq!(line.move_by(-1, -2, 0, button::LEFT), [0x19, 0xFF, 2]);
        assert_eq!(line.move_by(0, 0, 0, 0), [0x08, 0, 0], "a button let go");
        assert_eq!(line.move_by(0, 0, 0, 0), []);
    }

    #[test]
    fn reset_and_id() {
        let mut line = Line::streaming();
        assert_eq!(line.ask(&[0xFF]), [0xFA]);
        line.now = line.mouse.ready().unwrap();
        assert_eq!(line.sent(), [0xAA, 0x00]);
        assert_eq!(line.move_by(5, 3, 0, 0), [], "reporting is off");
        assert_eq!(line.ask(&[0xF2]), [0xFA, 0x00]);
    }

    #[test]
    fn knocking_wakes_the_wheel_and_the_side_buttons() {
        let mut line = Line::streaming();
        assert_eq!(line.rates([200, 100, 80]), 3);
        assert_eq!(line.move_by(0, 0, -1, 0), [0x08, 0, 0, 0xFF]);
        assert_eq!(line.rates([200, 200, 80]), 4);
        assert_eq!(line.move_by(0, 0, 1, button::FORWARD), [0x08, 0, 0, 0x21]);
        assert_eq!(line.move_by(0, 0, -1, button::BACK), [0x08, 0, 0, 0x1F]);
    }

    #[test]
    fn long_ways_take_several_reports_at_the_sample_rate() {
        let mut line = Line::streaming();
        assert_eq!(line.move_by(300, 0, 0, 0), [0x08, 255, 0]);
        assert_eq!(line.sent(), []);
        line.now = line.mouse.ready().unwrap();
        assert_eq!(line.sent(), [0x08, 45, 0]);
        assert_eq!(line.mouse.ready(), None);
    }

    #[test]
    fn remote_mode_reports_when_asked() {
        let mut line = Line::streaming();
        line.ask(&[0xF0]);
        assert_eq!(line.move_by(7, 0, 0, 0), []);
        assert_eq!(line.ask(&[0xEB]), [0xFA, 0x08, 7, 0]);
    }

    #[test]
    fn wrap_mode_echoes() {
        let mut line = Line::new();
        assert_eq!(line.ask(&[0xEE, 0x12, 0xF2, 0xEC]), [0xFA, 0x12, 0xF2, 0xFA]);
    }

    #[test]
    fn status() {
        let mut line = Line::streaming();
        line.ask(&[0xE8, 3, 0xF3, 40, 0xE7]);
        assert_eq!(line.ask(&[0xE9]), [0xFA, 0x30, 3, 40]);
        line.ask(&[0xF6]);
        assert_eq!(line.ask(&[0xE9]), [0xFA, 0x00, 2, 100]);
        assert_eq!(line.ask(&[0xE8, 9]), [0xFA, 0xFC]);
    }

    #[test]
    fn scaling_two_to_one() {
        let mut line = Line::streaming();
        line.ask(&[0xE7]);
        for (moved, sent) in [(1, 1), (2, 1), (3, 3), (4, 6), (5, 9), (6, 12)] {
            assert_eq!(line.move_by(moved, 0, 0, 0), [0x08, sent, 0]);
        }
    }
}
