//! Hands on the machine: keys, mouse, power button.

use super::Board;
use crate::input::Key;
use lucid86_devices::Time;
use lucid86_devices::keyboard::TRANSLATION;
use lucid86_devices::keys::KeyCode;
use lucid86_devices::mouse::Motion;

/// The key that has this code in set 1.
fn key_code(key: Key) -> Option<KeyCode> {
    KeyCode::ALL.iter().copied().find(|k| set1(*k) == key.0)
}

fn set1(key: KeyCode) -> u16 {
    let code = key.set2();
    match code & 0xff {
        0x83 => 0x41,
        low @ 0..0x80 => code & 0xff00 | u16::from(TRANSLATION[usize::from(low)]),
        _ => code,
    }
}

impl Board {
    /// A key goes down or up.
    pub fn key(&mut self, now: Time, key: Key, down: bool) {
        if let Some(code) = key_code(key) {
            self.chips.i8042.key(now, code, down);
        }
    }

    /// Whether the keyboard takes another key.
    pub fn keyboard_has_room(&self) -> bool {
        self.chips.i8042.has_room()
    }

    /// The mouse moves (right and up positive), its wheel turns (away positive), its buttons are now these.
    pub fn mouse(&mut self, dx: i32, dy: i32, wheel: i32, buttons: u8) {
        let motion = Motion { dx, dy: dy.saturating_neg(), wheel: wheel.saturating_neg(), buttons };
        self.chips.i8042.mouse_input(motion);
    }

    /// The power button.
    pub fn power_button(&mut self) {
        self.chips.pm.press_power_button();
    }

    /// Whether firmware, after INIT, goes on where a program asked it to (CMOS shutdown codes 5, 9, Ah): then the chips
    /// must stay as they are.
    pub fn resumes_after_init(&self) -> bool {
        matches!(self.chips.rtc.cmos(0x0f), 5 | 9 | 0x0a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_code_of_its_own() {
        let mut codes: Vec<u16> = KeyCode::ALL.iter().map(|k| set1(*k)).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), KeyCode::ALL.len());
        assert_eq!(key_code(Key(0x1e)), Some(KeyCode::A));
        assert_eq!(key_code(Key::PAUSE), Some(KeyCode::Pause));
        assert_eq!(key_code(Key::DELETE), Some(KeyCode::Delete));
    }
}
