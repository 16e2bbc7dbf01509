//! The keys of a PC keyboard: one list with each key's name and scan codes, and which of them type a character on a
//! US layout.
//!
//! Follows: IBM PS/2 Hardware Interface Technical Reference, "101/102-Key Keyboard" (scan code sets 2 and 3);
//! Microsoft "Keyboard Scan Code Specification" 1.3a for the Windows, power and international keys. Set 1 is set 2
//! through the keyboard controller's translation table ([`crate::keyboard::TRANSLATION`]).

use serde::{Deserialize, Serialize};

macro_rules! keys {
    ($($key:ident $name:literal $set2:literal $set3:literal,)*) => {
        /// A key, by the legend on a US keyboard.
        #[allow(missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum KeyCode { $($key,)* }

        impl KeyCode {
            /// Every key.
            pub const ALL: &[KeyCode] = &[$(KeyCode::$key,)*];

            /// The key's name in scripts: lower case, no spaces.
            pub fn name(self) -> &'static str {
                match self { $(KeyCode::$key => $name,)* }
            }

            /// Make code in set 2; a high byte of E0h is a prefix. Pause and Print Screen have sequences of their
            /// own.
            pub fn set2(self) -> u16 {
                match self { $(KeyCode::$key => $set2,)* }
            }

            /// Make code in set 3, if the key has one there.
            pub fn set3(self) -> Option<u8> {
                let code: u8 = match self { $(KeyCode::$key => $set3,)* };
                (code != 0).then_some(code)
            }
        }
    };
}

keys! {
    A "a" 0x1C 0x1C,
    B "b" 0x32 0x32,
    C "c" 0x21 0x21,
    D "d" 0x23 0x23,
    E "e" 0x24 0x24,
    F "f" 0x2B 0x2B,
    G "g" 0x34 0x34,
    H "h" 0x33 0x33,
    I "i" 0x43 0x43,
    J "j" 0x3B 0x3B,
    K "k" 0x42 0x42,
    L "l" 0x4B 0x4B,
    M "m" 0x3A 0x3A,
    N "n" 0x31 0x31,
    O "o" 0x44 0x44,
    P "p" 0x4D 0x4D,
    Q "q" 0x15 0x15,
    R "r" 0x2D 0x2D,
    S "s" 0x1B 0x1B,
    T "t" 0x2C 0x2C,
    U "u" 0x3C 0x3C,
    V "v" 0x2A 0x2A,
    W "w" 0x1D 0x1D,
    X "x" 0x22 0x22,
    Y "y" 0x35 0x35,
    Z "z" 0x1A 0x1A,
    Digit0 "0" 0x45 0x45,
    Digit1 "1" 0x16 0x16,
    Digit2 "2" 0x1E 0x1E,
    Digit3 "3" 0x26 0x26,
    Digit4 "4" 0x25 0x25,
    Digit5 "5" 0x2E 0x2E,
    Digit6 "6" 0x36 0x36,
    Digit7 "7" 0x3D 0x3D,
    Digit8 "8" 0x3E 0x3E,
    Digit9 "9" 0x46 0x46,
    Grave "grave" 0x0E 0x0E,
    Minus "minus" 0x4E 0x4E,
    Equal "equal" 0x55 0x55,
    BracketLeft "bracketleft" 0x54 0x54,
    BracketRight "bracketright" 0x5B 0x5B,
    Backslash "backslash" 0x5D 0x5C,
    Semicolon "semicolon" 0x4C 0x4C,
    Quote "quote" 0x52 0x52,
    Comma "comma" 0x41 0x41,
    Period "period" 0x49 0x49,
    Slash "slash" 0x4A 0x4A,
    Less "less" 0x61 0x13,
    Space "space" 0x29 0x29,
    Backspace "backspace" 0x66 0x66,
    Tab "tab" 0x0D 0x0D,
    Enter "enter" 0x5A 0x5A,
    Escape "esc" 0x76 0x08,
    CapsLock "capslock" 0x58 0x14,
    ShiftLeft "shift" 0x12 0x12,
    ShiftRight "rshift" 0x59 0x59,
    ControlLeft "ctrl" 0x14 0x11,
    ControlRight "rctrl" 0xE014 0x58,
    AltLeft "alt" 0x11 0x19,
    AltRight "altgr" 0xE011 0x39,
    MetaLeft "meta" 0xE01F 0x8B,
    MetaRight "rmeta" 0xE027 0x8C,
    Menu "menu" 0xE02F 0x8D,
    F1 "f1" 0x05 0x07,
    F2 "f2" 0x06 0x0F,
    F3 "f3" 0x04 0x17,
    F4 "f4" 0x0C 0x1F,
    F5 "f5" 0x03 0x27,
    F6 "f6" 0x0B 0x2F,
    F7 "f7" 0x83 0x37,
    F8 "f8" 0x0A 0x3F,
    F9 "f9" 0x01 0x47,
    F10 "f10" 0x09 0x4F,
    F11 "f11" 0x78 0x56,
    F12 "f12" 0x07 0x5E,
    PrintScreen "printscreen" 0xE07C 0x57,
    ScrollLock "scrolllock" 0x7E 0x5F,
    Pause "pause" 0xE114 0x62,
    Insert "insert" 0xE070 0x67,
    Delete "delete" 0xE071 0x64,
    Home "home" 0xE06C 0x6E,
    End "end" 0xE069 0x65,
    PageUp "pageup" 0xE07D 0x6F,
    PageDown "pagedown" 0xE07A 0x6D,
    Left "left" 0xE06B 0x61,
    Right "right" 0xE074 0x6A,
    Up "up" 0xE075 0x63,
    Down "down" 0xE072 0x60,
    NumLock "numlock" 0x77 0x76,
    Keypad0 "kp0" 0x70 0x70,
    Keypad1 "kp1" 0x69 0x69,
    Keypad2 "kp2" 0x72 0x72,
    Keypad3 "kp3" 0x7A 0x7A,
    Keypad4 "kp4" 0x6B 0x6B,
    Keypad5 "kp5" 0x73 0x73,
    Keypad6 "kp6" 0x74 0x74,
    Keypad7 "kp7" 0x6C 0x6C,
    Keypad8 "kp8" 0x75 0x75,
    Keypad9 "kp9" 0x7D 0x7D,
    KeypadPeriod "kpperiod" 0x71 0x71,
    KeypadPlus "kpplus" 0x79 0x7C,
    KeypadMinus "kpminus" 0x7B 0x84,
    KeypadMultiply "kpmultiply" 0x7C 0x7E,
    KeypadDivide "kpdivide" 0xE04A 0x77,
    KeypadEnter "kpenter" 0xE05A 0x79,
    KeypadComma "kpcomma" 0x6D 0x00,
    International1 "ro" 0x51 0x51,
    International2 "katakana" 0x13 0x87,
    International3 "yen" 0x6A 0x5D,
    International4 "henkan" 0x64 0x86,
    International5 "muhenkan" 0x67 0x85,
    Language1 "hangul" 0xF2 0x00,
    Language2 "hanja" 0xF1 0x00,
    Power "power" 0xE037 0x00,
    Sleep "sleep" 0xE03F 0x00,
    Wake "wake" 0xE05E 0x00,
    Mute "mute" 0xE023 0x00,
    VolumeDown "volumedown" 0xE021 0x00,
    VolumeUp "volumeup" 0xE032 0x00,
    MediaPlay "mediaplay" 0xE034 0x00,
    MediaStop "mediastop" 0xE03B 0x00,
    MediaNext "medianext" 0xE04D 0x00,
    MediaPrevious "mediaprevious" 0xE015 0x00,
}

/// Other names by which scripts may call a key.
const ALIASES: &[(&str, KeyCode)] = &[
    ("escape", KeyCode::Escape),
    ("return", KeyCode::Enter),
    ("ret", KeyCode::Enter),
    ("spc", KeyCode::Space),
    ("bksp", KeyCode::Backspace),
    ("control", KeyCode::ControlLeft),
    ("lctrl", KeyCode::ControlLeft),
    ("lshift", KeyCode::ShiftLeft),
    ("lalt", KeyCode::AltLeft),
    ("ralt", KeyCode::AltRight),
    ("win", KeyCode::MetaLeft),
    ("super", KeyCode::MetaLeft),
    ("del", KeyCode::Delete),
    ("ins", KeyCode::Insert),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
    ("print", KeyCode::PrintScreen),
    ("sysrq", KeyCode::PrintScreen),
    ("break", KeyCode::Pause),
    ("dot", KeyCode::Period),
    ("apostrophe", KeyCode::Quote),
    ("caps", KeyCode::CapsLock),
];

/// Keys that type a character on a US keyboard: key, character, character with Shift.
const CHARACTERS: &[(KeyCode, char, char)] = &[
    (KeyCode::Digit1, '1', '!'),
    (KeyCode::Digit2, '2', '@'),
    (KeyCode::Digit3, '3', '#'),
    (KeyCode::Digit4, '4', '$'),
    (KeyCode::Digit5, '5', '%'),
    (KeyCode::Digit6, '6', '^'),
    (KeyCode::Digit7, '7', '&'),
    (KeyCode::Digit8, '8', '*'),
    (KeyCode::Digit9, '9', '('),
    (KeyCode::Digit0, '0', ')'),
    (KeyCode::Grave, '`', '~'),
    (KeyCode::Minus, '-', '_'),
    (KeyCode::Equal, '=', '+'),
    (KeyCode::BracketLeft, '[', '{'),
    (KeyCode::BracketRight, ']', '}'),
    (KeyCode::Backslash, '\\', '|'),
    (KeyCode::Semicolon, ';', ':'),
    (KeyCode::Quote, '\'', '"'),
    (KeyCode::Comma, ',', '<'),
    (KeyCode::Period, '.', '>'),
    (KeyCode::Slash, '/', '?'),
    (KeyCode::Space, ' ', ' '),
    (KeyCode::Enter, '\n', '\n'),
    (KeyCode::Enter, '\r', '\r'),
    (KeyCode::Tab, '\t', '\t'),
    (KeyCode::Backspace, '\u{8}', '\u{8}'),
    (KeyCode::Backspace, '\u{7F}', '\u{7F}'),
    (KeyCode::Escape, '\u{1B}', '\u{1B}'),
];

impl KeyCode {
    /// The key of this name, in any case: `a`, `f1`, `ctrl`, `delete`, `-`.
    pub fn from_name(name: &str) -> Option<KeyCode> {
        let lower = name.to_ascii_lowercase();
        let named = Self::ALL.iter().copied().find(|key| key.name() == lower);
        let alias = || ALIASES.iter().find(|(alias, _)| *alias == lower).map(|(_, key)| *key);
        let character = || {
            let mut characters = lower.chars();
            match (characters.next(), characters.next()) {
                (Some(c), None) => Self::from_char(c).and_then(|(key, shift)| (!shift).then_some(key)),
                _ => None,
            }
        };
        named.or_else(alias).or_else(character)
    }

    /// The key that types `c` on a US keyboard, and whether Shift is held with it.
    pub fn from_char(c: char) -> Option<(KeyCode, bool)> {
        if c.is_ascii_alphabetic() {
            let index = usize::from(c.to_ascii_lowercase() as u8 - b'a');
            return Self::ALL.get(index).map(|key| (*key, c.is_ascii_uppercase()));
        }
        CHARACTERS.iter().find_map(|&(key, plain, shifted)| match c {
            _ if c == plain => Some((key, false)),
            _ if c == shifted => Some((key, true)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_ascii_character_has_a_key() {
        for c in ' '..='~' {
            assert!(KeyCode::from_char(c).is_some(), "{c}");
        }
        assert_eq!(KeyCode::from_char('Q'), Some((KeyCode::Q, true)));
        assert_eq!(KeyCode::from_char('?'), Some((KeyCode::Slash, true)));
        assert_eq!(KeyCode::from_char('é'), None);
    }

    #[test]
    fn names_are_unique_and_lead_back() {
        for key in KeyCode::ALL {
            assert_eq!(KeyCode::from_name(key.name()), Some(*key));
        }
        assert_eq!(KeyCode::from_name("DEL"), Some(KeyCode::Delete));
        assert_eq!(KeyCode::from_name("/"), Some(KeyCode::Slash));
        assert_eq!(KeyCode::from_name("nothing"), None);
    }

    #[test]
    fn keys_fit_a_set_of_128() {
        assert!(KeyCode::ALL.len() <= 128);
    }
}
