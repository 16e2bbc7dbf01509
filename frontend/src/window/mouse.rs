//! The mouse. A click in the window gives it to the guest, which gets relative movements; Ctrl and Alt together, or another
//! window, take it back.

use lucid86_machine::{Input, MouseButton};
use minifb::{MouseButton as Button, MouseMode, Window};

const BUTTONS: [(Button, MouseButton); 3] = [
    (Button::Left, MouseButton::Left),
    (Button::Right, MouseButton::Right),
    (Button::Middle, MouseButton::Middle),
];

/// Where the mouse is and whose.
#[derive(Debug, Default)]
pub(super) struct Mouse {
    captured: bool,
    title_is_captured: bool,
    was_active: bool,
    at: (i32, i32),
    down: [bool; 3],
    /// Buttons that were down at the capturing click belong to it.
    armed: bool,
}

impl Mouse {
    /// Inputs for what changed since the last call.
    pub(super) fn inputs(&mut self, window: &mut Window, active: bool, release: bool) -> Vec<Input> {
        let position = window.get_unscaled_mouse_pos(MouseMode::Pass).unwrap_or_default();
        let at = (position.0 as i32, position.1 as i32);
        let inside = window.get_unscaled_mouse_pos(MouseMode::Discard).is_some();
        let down = BUTTONS.map(|(b, _)| window.get_mouse_down(b));
        let wheel = window.get_scroll_wheel().map_or(0, |(_, y)| y as i32);
        let was = self.captured;
        let inputs = self.step(at, inside, down, wheel, release || self.was_active && !active);
        self.was_active = active;
        if was != self.captured {
            window.set_cursor_visibility(!self.captured);
        }
        inputs
    }

    fn step(
        &mut self,
        at: (i32, i32),
        inside: bool,
        down: [bool; 3],
        wheel: i32,
        release: bool,
    ) -> Vec<Input> {
        let mut inputs = Vec::new();
        if self.captured && release {
            self.captured = false;
            inputs.extend(self.changes([false; 3]));
        } else if !self.captured {
            self.captured = inside && down[0] && !release;
            self.armed = false;
        } else {
            let (dx, dy) = (at.0 - self.at.0, self.at.1 - at.1);
            if (dx, dy, wheel) != (0, 0, 0) {
                inputs.push(Input::MouseMove { dx, dy, wheel });
            }
            self.armed |= down == [false; 3];
            if self.armed {
                inputs.extend(self.changes(down));
            }
        }
        self.at = at;
        inputs
    }

    fn changes(&mut self, down: [bool; 3]) -> Vec<Input> {
        let before = std::mem::replace(&mut self.down, down);
        (0..3)
            .filter(|&i| before[i] != down[i])
            .map(|i| Input::MouseButton { button: BUTTONS[i].1, down: down[i] })
            .collect()
    }

    /// The window's title, when it is to change.
    pub(super) fn new_title(&mut self, name: &str) -> Option<String> {
        if self.captured == self.title_is_captured {
            return None;
        }
        self.title_is_captured = self.captured;
        Some(if self.captured { format!("{name} - Ctrl+Alt releases the mouse") } else { name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_captures_and_ctrl_alt_releases() {
        let mut m = Mouse::default();
        let (up, left) = ([false; 3], [true, false, false]);
        assert_eq!(m.step((10, 10), true, up, 0, false), []);
        assert_eq!(m.step((20, 10), true, left, 0, false), []); // captures; the click is not the guest's
        assert_eq!(m.new_title("x").as_deref(), Some("x - Ctrl+Alt releases the mouse"));
        assert_eq!(m.step((20, 10), true, up, 0, false), []);
        let moved = Input::MouseMove { dx: 3, dy: -2, wheel: 0 };
        assert_eq!(m.step((23, 12), true, up, 0, false), [moved]);
        let click = |down| Input::MouseButton { button: MouseButton::Left, down };
        assert_eq!(m.step((23, 12), true, left, 0, false), [click(true)]);
        assert_eq!(m.step((23, 12), true, left, 0, true), [click(false)]);
        assert_eq!(m.new_title("x").as_deref(), Some("x"));
    }
}
