//! PS/2 keyboard: scan code sets 1, 2 and 3, typematic repeat, LEDs, the host's commands.
//!
//! Follows: IBM PS/2 Hardware Interface Technical Reference, "101/102-Key Keyboard". The serial line to the
//! controller is [`crate::i8042`]'s: it asks for a byte when it has room. Not modelled: the extra Shift codes that a
//! real keyboard wraps around the grey keys while Num Lock is lit. Tests at the foot.

use crate::{Time, keys::KeyCode};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What the host may send.
mod command {
    pub const SET_LEDS: u8 = 0xED;
    pub const ECHO: u8 = 0xEE;
    pub const SELECT_SET: u8 = 0xF0;
    pub const READ_ID: u8 = 0xF2;
    pub const SET_TYPEMATIC: u8 = 0xF3;
    pub const ENABLE: u8 = 0xF4;
    pub const DEFAULT_DISABLE: u8 = 0xF5;
    pub const SET_DEFAULT: u8 = 0xF6;
    pub const ALL_TYPEMATIC: u8 = 0xF7;
    pub const ALL_MAKE_BREAK: u8 = 0xF8;
    pub const ALL_MAKE: u8 = 0xF9;
    pub const ALL_TYPEMATIC_MAKE_BREAK: u8 = 0xFA;
    pub const KEY_TYPEMATIC: u8 = 0xFB;
    pub const KEY_MAKE_BREAK: u8 = 0xFC;
    pub const KEY_MAKE: u8 = 0xFD;
    pub const RESEND: u8 = 0xFE;
    pub const RESET: u8 = 0xFF;
}

const ACK: u8 = 0xFA;
const RESEND: u8 = 0xFE;
const BAT_PASSED: u8 = 0xAA; // basic assurance test
const ID: [u8; 2] = [0xAB, 0x83];
const BREAK: u8 = 0xF0; // in sets 2 and 3 a break code is this and the make code

/// Bytes of scan codes that a keyboard holds for a host that doesn't take them.
const BUFFER: usize = 32;
/// The longest sequence of one key.
const LONGEST: usize = 8;
/// How long the self test takes.
const BAT_NS: u64 = 2_000_000;
/// 10.9 repeats a second after half a second.
const DEFAULT_TYPEMATIC: u8 = 0x2B;

/// Set 2 to set 1, as the keyboard controller's ROM has it.
#[rustfmt::skip]
pub const TRANSLATION: [u8; 128] = [
    0xFF, 0x43, 0x41, 0x3F, 0x3D, 0x3B, 0x3C, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3E, 0x0F, 0x29, 0x59,
    0x65, 0x38, 0x2A, 0x70, 0x1D, 0x10, 0x02, 0x5A, 0x66, 0x71, 0x2C, 0x1F, 0x1E, 0x11, 0x03, 0x5B,
    0x67, 0x2E, 0x2D, 0x20, 0x12, 0x05, 0x04, 0x5C, 0x68, 0x39, 0x2F, 0x21, 0x14, 0x13, 0x06, 0x5D,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5E, 0x6A, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5F,
    0x6B, 0x33, 0x25, 0x17, 0x18, 0x0B, 0x0A, 0x60, 0x6C, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0C, 0x61,
    0x6D, 0x73, 0x28, 0x74, 0x1A, 0x0D, 0x62, 0x6E, 0x3A, 0x36, 0x1C, 0x1B, 0x75, 0x2B, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7A, 0x0E, 0x7B, 0x7C, 0x4F, 0x7D, 0x4B, 0x47, 0x7E, 0x7F, 0x6F,
    0x52, 0x53, 0x50, 0x4C, 0x4D, 0x48, 0x01, 0x45, 0x57, 0x4E, 0x51, 0x4A, 0x37, 0x49, 0x46, 0x54,
];

/// Turns a stream of set 2 bytes into set 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Translator {
    released: bool, // F0h came: the next code is a break code
}

impl Translator {
    /// The byte that `byte` becomes; none for the break prefix, which joins the next one.
    pub fn translate(&mut self, byte: u8) -> Option<u8> {
        if byte == BREAK {
            self.released = true;
            return None;
        }
        let code = match byte {
            0x83 => 0x41, // F7
            0x84 => 0x54, // SysRq
            low @ 0..0x80 => TRANSLATION[usize::from(low)],
            other => other,
        };
        Some(if std::mem::take(&mut self.released) { code | 0x80 } else { code })
    }
}

/// A set of scan codes, by bit.
type Codes = [u64; 4];

fn contains(codes: &Codes, code: u8) -> bool {
    codes[usize::from(code >> 6)] >> (code & 63) & 1 != 0
}

fn put(codes: &mut Codes, code: u8, in_set: bool) {
    let bit = 1 << (code & 63);
    let word = &mut codes[usize::from(code >> 6)];
    *word = if in_set { *word | bit } else { *word & !bit };
}

/// The keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyboard {
    set: u8,                         // scan code set, 1 to 3
    scanning: bool,                  // keys are reported
    leds: u8,                        // bit 0 Scroll Lock, bit 1 Num Lock, bit 2 Caps Lock
    typematic: u8,                   // bits 6:5 delay, bits 4:0 rate
    awaiting: Option<u8>,            // command whose parameter is to come
    replies: VecDeque<u8>,           // answers to commands; they go first
    codes: VecDeque<u8>,             // scan codes
    last_sent: u8,                   // for RESEND
    bat_at: Option<Time>,            // the self test ends
    down: u128,                      // keys that are held, by KeyCode
    repeat: Option<(KeyCode, Time)>, // the key that repeats, and when next
    breaking: Codes,                 // set 3: codes that send a break code
    repeating: Codes,                // set 3: codes that repeat
}

impl Default for Keyboard {
    fn default() -> Self {
        Self::new()
    }
}

impl Keyboard {
    /// A keyboard that has passed its self test and scans.
    pub fn new() -> Self {
        let mut keyboard = Keyboard {
            set: 2,
            scanning: true,
            leds: 0,
            typematic: DEFAULT_TYPEMATIC,
            awaiting: None,
            replies: VecDeque::new(),
            codes: VecDeque::new(),
            last_sent: 0,
            bat_at: None,
            down: 0,
            repeat: None,
            breaking: [0; 4],
            repeating: [0; 4],
        };
        keyboard.set_defaults();
        keyboard
    }

    /// The lights: bit 0 Scroll Lock, bit 1 Num Lock, bit 2 Caps Lock.
    pub fn leds(&self) -> u8 {
        self.leds
    }

    /// Whether the keyboard can take the codes of another key without losing any.
    pub fn has_room(&self) -> bool {
        self.codes.len() + LONGEST <= BUFFER
    }

    /// Whether key `key` is held.
    pub fn is_down(&self, key: KeyCode) -> bool {
        self.down >> (key as u32) & 1 != 0
    }

    /// Takes `keys` for held without reporting them.
    pub fn hold(&mut self, keys: &[KeyCode]) {
        self.down = keys.iter().fold(0, |down, key| down | 1 << (*key as u32));
    }

    /// A key goes down or up. A key that is down already repeats by itself, so pressing it again changes nothing.
    pub fn key(&mut self, now: Time, key: KeyCode, pressed: bool) {
        self.settle(now);
        if self.is_down(key) == pressed {
            return;
        }
        let codes = self.sequence(key, pressed);
        self.down ^= 1 << (key as u32);
        self.report(&codes);
        match self.repeat {
            _ if pressed => {
                let first = Time(now.0.saturating_add(self.delay_ns()));
                self.repeat = self.repeats(key).then_some((key, first));
            }
            Some((repeating, _)) if repeating == key => self.repeat = None,
            _ => {}
        }
    }

    /// A byte from the host.
    pub fn write(&mut self, now: Time, byte: u8) {
        self.settle(now);
        match self.awaiting.take() {
            Some(command) if self.parameter(command, byte) => {}
            _ => self.command(now, byte),
        }
    }

    /// When a byte may be there for [`Keyboard::take`], if nothing else happens.
    pub fn ready(&self) -> Option<Time> {
        if !self.replies.is_empty() || !self.codes.is_empty() {
            return Some(Time(0));
        }
        let repeat = self.repeat.map(|(_, at)| at);
        [self.bat_at, repeat].into_iter().flatten().min()
    }

    /// The next byte for the host.
    pub fn take(&mut self, now: Time) -> Option<u8> {
        self.settle(now);
        let byte = self.replies.pop_front().or_else(|| self.codes.pop_front())?;
        self.last_sent = byte;
        Some(byte)
    }

    fn settle(&mut self, now: Time) {
        if self.bat_at.is_some_and(|at| at <= now) {
            self.bat_at = None;
            self.scanning = true;
            self.reply(BAT_PASSED);
        }
        if let Some((key, at)) = self.repeat.filter(|(_, at)| *at <= now) {
            // However many were missed, one is sent, and none while the host is behind.
            if self.codes.is_empty() {
                let codes = self.sequence(key, true);
                self.report(&codes);
            }
            let period = self.period_ns();
            let missed = (now.0 - at.0) / period;
            let next = at.0.saturating_add((missed + 1).saturating_mul(period));
            self.repeat = Some((key, Time(next)));
        }
    }

    fn reply(&mut self, byte: u8) {
        if self.replies.len() < BUFFER {
            self.replies.push_back(byte);
        }
    }

    /// Queues a key's sequence, all of it or nothing.
    fn report(&mut self, codes: &[u8]) {
        if self.scanning && self.bat_at.is_none() && self.codes.len() + codes.len() <= BUFFER {
            self.codes.extend(codes);
        }
    }

    fn delay_ns(&self) -> u64 {
        (u64::from(self.typematic >> 5 & 3) + 1) * 250_000_000
    }

    /// (8 + A) * 2^B * 4.17 ms
    fn period_ns(&self) -> u64 {
        ((8 + u64::from(self.typematic & 7)) << (self.typematic >> 3 & 3)) * 4_170_000
    }

    fn repeats(&self, key: KeyCode) -> bool {
        match (self.set, key.set3()) {
            (3, Some(code)) => contains(&self.repeating, code),
            (3, None) => false,
            _ => key != KeyCode::Pause,
        }
    }

    /// The bytes that a key sends in the current set.
    fn sequence(&self, key: KeyCode, pressed: bool) -> Vec<u8> {
        match self.set {
            1 => {
                let mut translator = Translator::default();
                self.sequence2(key, pressed).into_iter().filter_map(|b| translator.translate(b)).collect()
            }
            3 => self.sequence3(key, pressed),
            _ => self.sequence2(key, pressed),
        }
    }

    fn sequence2(&self, key: KeyCode, pressed: bool) -> Vec<u8> {
        let held = |keys: [KeyCode; 2]| keys.into_iter().any(|key| self.is_down(key));
        let control = held([KeyCode::ControlLeft, KeyCode::ControlRight]);
        let shift = held([KeyCode::ShiftLeft, KeyCode::ShiftRight]);
        let alt = held([KeyCode::AltLeft, KeyCode::AltRight]);
        match (key, pressed) {
            (KeyCode::Pause, true) if control => vec![0xE0, 0x7E, 0xE0, BREAK, 0x7E],
            (KeyCode::Pause, true) => vec![0xE1, 0x14, 0x77, 0xE1, BREAK, 0x14, BREAK, 0x77],
            (KeyCode::Pause, false) => vec![],
            (KeyCode::PrintScreen, true) if alt => vec![0x84],
            (KeyCode::PrintScreen, false) if alt => vec![BREAK, 0x84],
            (KeyCode::PrintScreen, true) if control || shift => vec![0xE0, 0x7C],
            (KeyCode::PrintScreen, false) if control || shift => vec![0xE0, BREAK, 0x7C],
            (KeyCode::PrintScreen, true) if self.is_down(key) => vec![0xE0, 0x7C],
            (KeyCode::PrintScreen, true) => vec![0xE0, 0x12, 0xE0, 0x7C],
            (KeyCode::PrintScreen, false) => vec![0xE0, BREAK, 0x7C, 0xE0, BREAK, 0x12],
            // The Korean keys send only this.
            (KeyCode::Language1 | KeyCode::Language2, false) => vec![],
            _ => {
                let [prefix, code] = key.set2().to_be_bytes();
                let prefix = (prefix != 0).then_some(prefix);
                let released = (!pressed).then_some(BREAK);
                prefix.into_iter().chain(released).chain([code]).collect()
            }
        }
    }

    fn sequence3(&self, key: KeyCode, pressed: bool) -> Vec<u8> {
        match key.set3() {
            Some(code) if pressed => vec![code],
            Some(code) if contains(&self.breaking, code) => vec![BREAK, code],
            _ => vec![],
        }
    }

    fn set_defaults(&mut self) {
        use KeyCode::*;
        self.typematic = DEFAULT_TYPEMATIC;
        self.repeat = None;
        self.awaiting = None;
        self.breaking = [0; 4];
        self.repeating = [0; 4];
        let codes = |keys: &[KeyCode]| keys.iter().filter_map(|key| key.set3()).collect::<Vec<u8>>();
        for code in codes(&[ShiftLeft, ShiftRight, ControlLeft, AltLeft, CapsLock]) {
            put(&mut self.breaking, code, true);
        }
        let typing = KeyCode::ALL.iter().take_while(|key| **key < Escape).copied().collect::<Vec<_>>();
        for code in codes(&typing).into_iter().chain(codes(&[Left, Right, Up, Down, Delete, KeypadPlus])) {
            put(&mut self.repeating, code, true);
        }
    }

    /// Takes `byte` as the parameter of `command`; false if it is a command itself.
    fn parameter(&mut self, command: u8, byte: u8) -> bool {
        match command {
            command::SET_LEDS if byte < 0x80 => self.leds = byte & 7,
            command::SET_TYPEMATIC if byte < 0x80 => self.typematic = byte,
            command::SELECT_SET => match byte {
                0 => {
                    self.reply(ACK);
                    self.reply(self.set);
                    return true;
                }
                1..=3 => {
                    self.set = byte;
                    self.codes.clear();
                    self.repeat = None;
                }
                _ => return false,
            },
            command::KEY_TYPEMATIC..=command::KEY_MAKE if byte < command::SET_LEDS => {
                self.set_type(byte, command);
                self.awaiting = Some(command); // a list, ended by another command
            }
            _ => return false,
        }
        self.reply(ACK);
        true
    }

    /// Set 3: how key `code` behaves.
    fn set_type(&mut self, code: u8, command: u8) {
        put(&mut self.repeating, code, command == command::KEY_TYPEMATIC);
        put(&mut self.breaking, code, command == command::KEY_MAKE_BREAK);
    }

    fn set_all_types(&mut self, repeating: bool, breaking: bool) {
        let all = |on| if on { [u64::MAX; 4] } else { [0; 4] };
        self.repeating = all(repeating);
        self.breaking = all(breaking);
    }

    fn command(&mut self, now: Time, byte: u8) {
        match byte {
            command::ECHO => return self.reply(command::ECHO),
            command::RESEND => return self.reply(self.last_sent),
            command::READ_ID => {
                self.reply(ACK);
                ID.into_iter().for_each(|byte| self.reply(byte));
                return;
            }
            command::RESET => return self.reset(now),
            command::SET_LEDS
            | command::SELECT_SET
            | command::SET_TYPEMATIC
            | command::KEY_TYPEMATIC..=command::KEY_MAKE => self.awaiting = Some(byte),
            command::ENABLE => {
                self.codes.clear();
                self.scanning = true;
            }
            command::DEFAULT_DISABLE | command::SET_DEFAULT => {
                self.codes.clear();
                self.set_defaults();
                self.scanning = byte == command::SET_DEFAULT;
            }
            command::ALL_TYPEMATIC => self.set_all_types(true, false),
            command::ALL_MAKE_BREAK => self.set_all_types(false, true),
            command::ALL_MAKE => self.set_all_types(false, false),
            command::ALL_TYPEMATIC_MAKE_BREAK => self.set_all_types(true, true),
            _ => return self.reply(RESEND),
        }
        self.reply(ACK);
    }

    fn reset(&mut self, now: Time) {
        let down = self.down;
        *self = Keyboard { down, scanning: false, ..Keyboard::new() };
        self.bat_at = Some(Time(now.0.saturating_add(BAT_NS)));
        self.reply(ACK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Line {
        keyboard: Keyboard,
        now: Time,
    }

    impl Line {
        fn new() -> Self {
            Line { keyboard: Keyboard::new(), now: Time(0) }
        }

        fn sent(&mut self) -> Vec<u8> {
            std::iter::from_fn(|| self.keyboard.take(self.now)).collect()
        }

        fn ask(&mut self, bytes: &[u8]) -> Vec<u8> {
            bytes.iter().for_each(|byte| self.keyboard.write(self.now, *byte));
            self.sent()
        }

        fn press(&mut self, key: KeyCode) -> Vec<u8> {
            self.keyboard.key(self.now, key, true);
            self.sent()
        }

        fn release(&mut self, key: KeyCode) -> Vec<u8> {
            self.keyboard.key(self.now, key, false);
            self.sent()
        }
    }

    #[test]
    fn set_2() {
        let mut line = Line::new();
        assert_eq!(line.press(KeyCode::A), [0x1C]);
        assert_eq!(line.release(KeyCode::A), [0xF0, 0x1C]);
        assert_eq!(line.press(KeyCode::Up), [0xE0, 0x75]);
        assert_eq!(line.release(KeyCode::Up), [0xE0, 0xF0, 0x75]);
        assert_eq!(line.press(KeyCode::Pause), [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77]);
        assert_eq!(line.release(KeyCode::Pause), []);
        assert_eq!(line.press(KeyCode::PrintScreen), [0xE0, 0x12, 0xE0, 0x7C]);
        assert_eq!(line.release(KeyCode::PrintScreen), [0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12]);
    }

    #[test]
    fn sysrq_and_break_with_modifiers() {
        let mut line = Line::new();
        line.press(KeyCode::AltLeft);
        assert_eq!(line.press(KeyCode::PrintScreen), [0x84]);
        line.release(KeyCode::PrintScreen);
        line.release(KeyCode::AltLeft);
        line.press(KeyCode::ControlRight);
        assert_eq!(line.press(KeyCode::Pause), [0xE0, 0x7E, 0xE0, 0xF0, 0x7E]);
    }

    #[test]
    fn set_1() {
        let mut line = Line::new();
        assert_eq!(line.ask(&[0xF0, 1]), [0xFA, 0xFA]);
        assert_eq!(line.press(KeyCode::Escape), [0x01]);
        assert_eq!(line.release(KeyCode::Escape), [0x81]);
        assert_eq!(line.press(KeyCode::ControlRight), [0xE0, 0x1D]);
        assert_eq!(line.release(KeyCode::ControlRight), [0xE0, 0x9D]);
        assert_eq!(line.press(KeyCode::F7), [0x41]);
        assert_eq!(line.press(KeyCode::Pause), [0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5]);
    }

    #[test]
    fn set_3_and_key_types() {
        let mut line = Line::new();
        assert_eq!(line.ask(&[0xF0, 3]), [0xFA, 0xFA]);
        assert_eq!(line.ask(&[0xF0, 0]), [0xFA, 0xFA, 3]);
        assert_eq!(line.press(KeyCode::Up), [0x63]);
        assert_eq!(line.release(KeyCode::Up), []);
        assert_eq!(line.press(KeyCode::ShiftLeft), [0x12]);
        assert_eq!(line.release(KeyCode::ShiftLeft), [0xF0, 0x12]);
        assert_eq!(line.ask(&[0xFC, 0x63]), [0xFA, 0xFA]);
        line.ask(&[0xF4]);
        line.press(KeyCode::Up);
        assert_eq!(line.release(KeyCode::Up), [0xF0, 0x63]);
        line.ask(&[0xFA]);
        line.press(KeyCode::F1);
        assert_eq!(line.release(KeyCode::F1), [0xF0, 0x07]);
    }

    #[test]
    fn commands() {
        let mut line = Line::new();
        assert_eq!(line.ask(&[0xEE]), [0xEE]);
        assert_eq!(line.ask(&[0xF2]), [0xFA, 0xAB, 0x83]);
        assert_eq!(line.ask(&[0xED, 0x07]), [0xFA, 0xFA]);
        assert_eq!(line.keyboard.leds(), 7);
        assert_eq!(line.ask(&[0xFE]), [0xFA], "the last byte again");
        assert_eq!(line.ask(&[0x00]), [0xFE]);
        assert_eq!(line.ask(&[0xED, 0xF4]), [0xFA, 0xFA], "a command in place of a parameter");
        assert_eq!(line.keyboard.leds(), 7);
    }

    #[test]
    fn reset_acknowledges_then_passes_its_test() {
        let mut line = Line::new();
        line.ask(&[0xED, 0x02, 0xF5]);
        assert_eq!(line.ask(&[0xFF]), [0xFA]);
        line.now.0 += BAT_NS - 1;
        assert_eq!(line.sent(), []);
        line.now.0 += 1;
        assert_eq!(line.sent(), [0xAA]);
        assert_eq!(line.keyboard.leds(), 0);
        assert_eq!(line.press(KeyCode::A), [0x1C]);
    }

    #[test]
    fn disabled_it_is_silent() {
        let mut line = Line::new();
        assert_eq!(line.ask(&[0xF5]), [0xFA]);
        assert_eq!(line.press(KeyCode::A), []);
        assert_eq!(line.ask(&[0xF4]), [0xFA]);
        assert_eq!(line.release(KeyCode::A), [0xF0, 0x1C]);
    }

    #[test]
    fn a_held_key_repeats() {
        let mut line = Line::new();
        line.ask(&[0xF3, 0x00]); // 250 ms, 30 a second
        line.press(KeyCode::A);
        assert_eq!(line.keyboard.ready(), Some(Time(250_000_000)));
        line.now.0 = 250_000_000;
        assert_eq!(line.sent(), [0x1C]);
        assert_eq!(line.keyboard.ready(), Some(Time(250_000_000 + 8 * 4_170_000)));
        line.now.0 += 3_600_000_000_000;
        assert_eq!(line.sent(), [0x1C], "missed repeats are one");
        line.release(KeyCode::A);
        assert_eq!(line.keyboard.ready(), None);
    }

    #[test]
    fn pressing_twice_is_pressing_once() {
        let mut line = Line::new();
        assert_eq!(line.press(KeyCode::A), [0x1C]);
        assert_eq!(line.press(KeyCode::A), []);
    }

    #[test]
    fn a_full_buffer_drops_whole_keys() {
        let mut line = Line::new();
        for key in KeyCode::ALL {
            line.keyboard.key(line.now, *key, true);
        }
        assert!(!line.keyboard.has_room());
        let sent = line.sent();
        assert!(sent.len() <= BUFFER);
        assert_ne!(sent.last(), Some(&0xE0));
    }
}
