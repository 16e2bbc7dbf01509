//! Keys of the window system as keys of a PC keyboard: both name positions, so this is a table.

use crossbeam_channel::Sender;
use lucid86_machine::{Input, Key};
use minifb::Key as W;
use std::collections::BTreeSet;

/// Hears of every key that changes, in order.
pub(super) struct Listener(pub(super) Sender<(W, bool)>);

impl minifb::InputCallback for Listener {
    fn add_char(&mut self, _: u32) {}

    fn set_key_state(&mut self, key: W, down: bool) {
        // The other end lives as long as the window.
        let _ = self.0.send((key, down));
    }
}

/// Which keys are down.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    held: BTreeSet<u16>,
    was_active: bool,
}

impl Keyboard {
    /// Inputs for the changes; repeats of the host are dropped, and keys held when the window loses the keyboard go up.
    pub(super) fn inputs(&mut self, changes: impl Iterator<Item = (W, bool)>, active: bool) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (key, down) in changes {
            let Some(code) = code(key) else { continue };
            let changed = if down { self.held.insert(code) } else { self.held.remove(&code) };
            if changed {
                inputs.push(Input::Key { key: Key(code), down });
            }
        }
        if self.was_active && !active {
            let held = std::mem::take(&mut self.held);
            inputs.extend(held.into_iter().map(|code| Input::Key { key: Key(code), down: false }));
        }
        self.was_active = active;
        inputs
    }

    /// The combination that gives the mouse back.
    pub(super) fn holds_ctrl_and_alt(&self) -> bool {
        let any = |codes: [u16; 2]| codes.iter().any(|c| self.held.contains(c));
        any([0x1d, 0xe01d]) && any([0x38, 0xe038])
    }
}

/// Make code in scan code set 1, E0h in the high byte.
fn code(key: W) -> Option<u16> {
    Some(match key {
        W::Escape => 0x01,
        W::Key1 => 0x02,
        W::Key2 => 0x03,
        W::Key3 => 0x04,
        W::Key4 => 0x05,
        W::Key5 => 0x06,
        W::Key6 => 0x07,
        W::Key7 => 0x08,
        W::Key8 => 0x09,
        W::Key9 => 0x0a,
        W::Key0 => 0x0b,
        W::Minus => 0x0c,
        W::Equal => 0x0d,
        W::Backspace => 0x0e,
        W::Tab => 0x0f,
        W::Q => 0x10,
        W::W => 0x11,
        W::E => 0x12,
        W::R => 0x13,
        W::T => 0x14,
        W::Y => 0x15,
        W::U => 0x16,
        W::I => 0x17,
        W::O => 0x18,
        W::P => 0x19,
        W::LeftBracket => 0x1a,
        W::RightBracket => 0x1b,
        W::Enter => 0x1c,
        W::LeftCtrl => 0x1d,
        W::A => 0x1e,
        W::S => 0x1f,
        W::D => 0x20,
        W::F => 0x21,
        W::G => 0x22,
        W::H => 0x23,
        W::J => 0x24,
        W::K => 0x25,
        W::L => 0x26,
        W::Semicolon => 0x27,
        W::Apostrophe => 0x28,
        W::Backquote => 0x29,
        W::LeftShift => 0x2a,
        W::Backslash => 0x2b,
        W::Z => 0x2c,
        W::X => 0x2d,
        W::C => 0x2e,
        W::V => 0x2f,
        W::B => 0x30,
        W::N => 0x31,
        W::M => 0x32,
        W::Comma => 0x33,
        W::Period => 0x34,
        W::Slash => 0x35,
        W::RightShift => 0x36,
        W::NumPadAsterisk => 0x37,
        W::LeftAlt => 0x38,
        W::Space => 0x39,
        W::CapsLock => 0x3a,
        W::F1 => 0x3b,
        W::F2 => 0x3c,
        W::F3 => 0x3d,
        W::F4 => 0x3e,
        W::F5 => 0x3f,
        W::F6 => 0x40,
        W::F7 => 0x41,
        W::F8 => 0x42,
        W::F9 => 0x43,
        W::F10 => 0x44,
        W::NumLock => 0x45,
        W::ScrollLock => 0x46,
        W::NumPad7 => 0x47,
        W::NumPad8 => 0x48,
        W::NumPad9 => 0x49,
        W::NumPadMinus => 0x4a,
        W::NumPad4 => 0x4b,
        W::NumPad5 => 0x4c,
        W::NumPad6 => 0x4d,
        W::NumPadPlus => 0x4e,
        W::NumPad1 => 0x4f,
        W::NumPad2 => 0x50,
        W::NumPad3 => 0x51,
        W::NumPad0 => 0x52,
        W::NumPadDot => 0x53,
        W::F11 => 0x57,
        W::F12 => 0x58,
        W::NumPadEnter => 0xe01c,
        W::RightCtrl => 0xe01d,
        W::NumPadSlash => 0xe035,
        W::RightAlt => 0xe038,
        W::Home => 0xe047,
        W::Up => 0xe048,
        W::PageUp => 0xe049,
        W::Left => 0xe04b,
        W::Right => 0xe04d,
        W::End => 0xe04f,
        W::Down => 0xe050,
        W::PageDown => 0xe051,
        W::Insert => 0xe052,
        W::Delete => 0xe053,
        W::LeftSuper => 0xe05b,
        W::RightSuper => 0xe05c,
        W::Menu => 0xe05d,
        W::Pause => Key::PAUSE.0,
        W::F13 | W::F14 | W::F15 | W::Unknown | W::Count => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_repeats_are_dropped_and_lost_focus_releases() {
        let mut k = Keyboard::default();
        let key = |code, down| Input::Key { key: Key(code), down };
        let all = [(W::A, true), (W::A, true), (W::LeftCtrl, true), (W::A, false)];
        assert_eq!(k.inputs(all.into_iter(), true), [key(0x1e, true), key(0x1d, true), key(0x1e, false)]);
        assert_eq!(k.inputs(std::iter::empty(), false), [key(0x1d, false)]);
        assert_eq!(k.inputs(std::iter::empty(), false), []);
    }

    #[test]
    fn names_agree_with_the_machine_s() {
        for (w, name) in [(W::PageUp, "page-up"), (W::F11, "f11"), (W::NumPad5, "kp-5"), (W::Slash, "/")] {
            assert_eq!(code(w).map(Key), Key::by_name(name), "{name}");
        }
    }
}
