//! What is typed in a terminal, as keys of a PC keyboard. A terminal tells characters and modifiers, not keys going down and up:
//! each becomes a short press with its modifiers around it (US layout, as the guest's firmware assumes).

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use lucid86_machine::{Input, Inputs, Key};
use std::collections::VecDeque;

/// What a typed key means to the display itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// It was for the guest, or the first of two.
    Nothing,
    /// End the run.
    End,
    /// Show the keys.
    Help,
    /// Switch to the monitor.
    Monitor,
}

/// A press of one key with the modifiers held around it.
type Press = (Vec<Key>, Key);

/// Presses waiting for the guest to take them.
const MOST: usize = 4096;

/// Turns events into presses, and sends them one by one.
#[derive(Debug, Default)]
pub struct Typist {
    prefix: bool,
    presses: VecDeque<Press>,
}

impl Typist {
    /// Takes an event from the terminal.
    pub fn key(&mut self, event: KeyEvent) -> Typed {
        if event.kind == KeyEventKind::Release {
            return Typed::Nothing;
        }
        let ctrl_a = event.code == KeyCode::Char('a') && event.modifiers.contains(KeyModifiers::CONTROL);
        if !self.prefix && ctrl_a {
            self.prefix = true;
            return Typed::Nothing;
        }
        if std::mem::take(&mut self.prefix) {
            match event.code {
                KeyCode::Char('x' | 'X') => return Typed::End,
                KeyCode::Char('h' | 'H' | '?') => return Typed::Help,
                KeyCode::Char('c' | 'C') => return Typed::Monitor,
                KeyCode::Char('a' | 'A') => self.press((vec![Key::CTRL], Key(0x1e))),
                KeyCode::Char('d' | 'D') => self.press((vec![Key::CTRL, Key::ALT], Key::DELETE)),
                _ => {}
            }
            return Typed::Nothing;
        }
        if let Some(press) = press_of(event.code, event.modifiers) {
            self.press(press);
        }
        Typed::Nothing
    }

    /// Types a text.
    pub fn paste(&mut self, text: &str) {
        let code = |c| if matches!(c, '\n' | '\r') { KeyCode::Enter } else { KeyCode::Char(c) };
        for press in text.chars().filter_map(|c| press_of(code(c), KeyModifiers::NONE)) {
            self.press(press);
        }
    }

    fn press(&mut self, press: Press) {
        if self.presses.len() < MOST {
            self.presses.push_back(press);
        }
    }

    /// Whether presses wait.
    pub fn waiting(&self) -> bool {
        !self.presses.is_empty()
    }

    /// Sends the next press: modifiers down, key down and up, modifiers up.
    pub fn send_next(&mut self, to: &Inputs) {
        let Some((modifiers, key)) = self.presses.pop_front() else { return };
        let down = modifiers.iter().map(|&key| (key, true));
        let up = modifiers.iter().rev().map(|&key| (key, false));
        for (key, down) in down.chain([(key, true), (key, false)]).chain(up) {
            // A machine that has ended takes no keys.
            let _ = to.send(Input::Key { key, down });
        }
    }
}

/// The press that a terminal reports as `code` with `modifiers`.
fn press_of(code: KeyCode, modifiers: KeyModifiers) -> Option<Press> {
    let control = modifiers.contains(KeyModifiers::CONTROL);
    let (key, mut shift) = match code {
        // Terminals send Ctrl-\ ] ^ _ as the codes of Ctrl-4 to Ctrl-7.
        KeyCode::Char('4') if control => (Key(0x2b), false),
        KeyCode::Char('5') if control => (Key(0x1b), false),
        KeyCode::Char('7') if control => (Key(0x0c), false),
        KeyCode::Char(c) if control => (Key::for_char(c.to_ascii_lowercase())?.0, false),
        KeyCode::Char(c) => Key::for_char(c)?,
        KeyCode::BackTab => (Key::TAB, true),
        other => (Key::by_name(&name_of(other)?)?, false),
    };
    shift |= modifiers.contains(KeyModifiers::SHIFT) && !matches!(code, KeyCode::Char(_));
    let held = [(control, Key::CTRL), (modifiers.contains(KeyModifiers::ALT), Key::ALT), (shift, Key::SHIFT)];
    Some((held.into_iter().filter(|h| h.0).map(|h| h.1).collect(), key))
}

/// A key's name as scripts write it.
fn name_of(code: KeyCode) -> Option<String> {
    let name = match code {
        KeyCode::F(n @ 1..=12) => return Some(format!("f{n}")),
        KeyCode::Backspace => "backspace",
        KeyCode::Enter => "enter",
        KeyCode::Left => "left",
        KeyCode::Right => "right",
        KeyCode::Up => "up",
        KeyCode::Down => "down",
        KeyCode::Home => "home",
        KeyCode::End => "end",
        KeyCode::PageUp => "page-up",
        KeyCode::PageDown => "page-down",
        KeyCode::Tab => "tab",
        KeyCode::Delete => "delete",
        KeyCode::Insert => "insert",
        KeyCode::Esc => "esc",
        KeyCode::CapsLock => "caps-lock",
        KeyCode::ScrollLock => "scroll-lock",
        KeyCode::NumLock => "num-lock",
        KeyCode::PrintScreen => "print",
        KeyCode::Pause => "pause",
        KeyCode::Menu => "menu",
        _ => return None,
    };
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(code: KeyCode, modifiers: KeyModifiers) -> Vec<(u16, bool)> {
        let (to, from) = lucid86_machine::inputs::mail();
        let mut t = Typist::default();
        t.key(KeyEvent::new(code, modifiers));
        t.send_next(&to);
        let code_of = |i| match i {
            Input::Key { key, down } => (key.0, down),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| from.take().ok()).map(code_of).collect()
    }

    #[test]
    fn modifiers_are_held_around_the_key() {
        let none = KeyModifiers::NONE;
        assert_eq!(
            sent(KeyCode::Char('A'), KeyModifiers::SHIFT),
            [(0x2a, true), (0x1e, true), (0x1e, false), (0x2a, false)]
        );
        assert_eq!(
            sent(KeyCode::Char('c'), KeyModifiers::CONTROL),
            [(0x1d, true), (0x2e, true), (0x2e, false), (0x1d, false)]
        );
        assert_eq!(sent(KeyCode::Up, none), [(0xe048, true), (0xe048, false)]);
        assert_eq!(sent(KeyCode::F(12), none), [(0x58, true), (0x58, false)]);
        assert_eq!(sent(KeyCode::Enter, none)[0], (0x1c, true));
        assert_eq!(sent(KeyCode::Char('x'), KeyModifiers::ALT)[0], (0x38, true));
    }

    #[test]
    fn ctrl_a_is_the_prefix() {
        let mut t = Typist::default();
        let a = KeyEvent::new(KeyCode::Char('a'), KeyModifiers::CONTROL);
        let x = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
        assert_eq!((t.key(a), t.key(x)), (Typed::Nothing, Typed::End));
        t.key(x);
        assert_eq!(t.presses.len(), 1);
    }
}
