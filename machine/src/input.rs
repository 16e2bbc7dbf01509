//! What the outside does to the machine. Inputs are applied at slice boundaries only, in the order of arrival.

use serde::{Deserialize, Serialize};

/// One input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A key goes down or up. Repeats are the guest keyboard's own business: send only changes.
    Key {
        /// Which key.
        key: Key,
        /// Down or up.
        down: bool,
    },
    /// The mouse moves by counts: right and up are positive; wheel away from the user is positive.
    MouseMove {
        /// Counts to the right.
        dx: i32,
        /// Counts up.
        dy: i32,
        /// Wheel clicks.
        wheel: i32,
    },
    /// A mouse button changes.
    MouseButton {
        /// Which.
        button: MouseButton,
        /// Down or up.
        down: bool,
    },
    /// A byte arrives at serial port `port` (0 = COM1). Bytes wait in order until the guest's UART takes them.
    SerialByte(usize, u8),
    /// An Ethernet frame arrives at network card `card` (0 = the first `--net`), without its check sequence.
    Packet {
        /// Which card.
        card: usize,
        /// From the destination address on.
        frame: Vec<u8>,
    },
    /// The reset button.
    Reset,
    /// The power button (ACPI).
    PowerButton,
    /// End the run.
    Quit,
}

/// Mouse buttons.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MouseButton {
    Left,
    Right,
    Middle,
}

/// A key of the 101/102-key keyboard: its make code in scan code set 1, with E0h in the high byte for the keys that send
/// that prefix. Pause is [`Key::PAUSE`], Print Screen E037h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key(pub u16);

#[allow(missing_docs)]
impl Key {
    pub const ESC: Key = Key(0x01);
    pub const BACKSPACE: Key = Key(0x0e);
    pub const TAB: Key = Key(0x0f);
    pub const ENTER: Key = Key(0x1c);
    pub const CTRL: Key = Key(0x1d);
    pub const SHIFT: Key = Key(0x2a);
    pub const ALT: Key = Key(0x38);
    pub const SPACE: Key = Key(0x39);
    pub const DELETE: Key = Key(0xe053);
    pub const PAUSE: Key = Key(0xe11d);
    pub const PRINT: Key = Key(0xe037);

    /// By name as scripts write it: `a`, `7`, `enter`, `f1`, `ctrl`, `alt-gr`, `page-up`, `kp-enter`, ...
    pub fn by_name(name: &str) -> Option<Key> {
        let lower = name.to_ascii_lowercase();
        if let Some((key, false)) = single(&lower).and_then(Key::for_char) {
            return Some(key);
        }
        NAMES.iter().find(|(n, _)| *n == lower).map(|&(_, code)| Key(code))
    }

    /// The key that types `c` on a US keyboard, and whether shift is held.
    pub fn for_char(c: char) -> Option<(Key, bool)> {
        let find = |row: &str| row.chars().position(|x| x == c).filter(|_| c != '\0');
        if let Some(i) = find(PLAIN) {
            return Some((Key(i as u16), false));
        }
        if let Some(i) = find(SHIFTED) {
            return Some((Key(i as u16), true));
        }
        match c {
            '\r' => Some((Key::ENTER, false)),
            '\u{8}' | '\u{7f}' => Some((Key::BACKSPACE, false)),
            _ => None,
        }
    }
}

fn single(s: &str) -> Option<char> {
    let mut c = s.chars();
    c.next().filter(|_| c.next().is_none())
}

/// Characters by make code, 00h to 39h, US layout.
const PLAIN: &str = "\0\u{1b}1234567890-=\u{8}\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
const SHIFTED: &str = "\0\0!@#$%^&*()_+\0\0QWERTYUIOP{}\0\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0\0\0\0";

const NAMES: &[(&str, u16)] = &[
    ("esc", 0x01),
    ("escape", 0x01),
    ("backspace", 0x0e),
    ("tab", 0x0f),
    ("enter", 0x1c),
    ("return", 0x1c),
    ("ctrl", 0x1d),
    ("control", 0x1d),
    ("shift", 0x2a),
    ("right-shift", 0x36),
    ("kp-multiply", 0x37),
    ("alt", 0x38),
    ("space", 0x39),
    ("caps-lock", 0x3a),
    ("f1", 0x3b),
    ("f2", 0x3c),
    ("f3", 0x3d),
    ("f4", 0x3e),
    ("f5", 0x3f),
    ("f6", 0x40),
    ("f7", 0x41),
    ("f8", 0x42),
    ("f9", 0x43),
    ("f10", 0x44),
    ("num-lock", 0x45),
    ("scroll-lock", 0x46),
    ("kp-7", 0x47),
    ("kp-8", 0x48),
    ("kp-9", 0x49),
    ("kp-minus", 0x4a),
    ("kp-4", 0x4b),
    ("kp-5", 0x4c),
    ("kp-6", 0x4d),
    ("kp-plus", 0x4e),
    ("kp-1", 0x4f),
    ("kp-2", 0x50),
    ("kp-3", 0x51),
    ("kp-0", 0x52),
    ("kp-dot", 0x53),
    ("sysrq", 0x54),
    ("less", 0x56),
    ("minus", 0x0c),
    ("f11", 0x57),
    ("f12", 0x58),
    ("kp-enter", 0xe01c),
    ("right-ctrl", 0xe01d),
    ("kp-divide", 0xe035),
    ("print", 0xe037),
    ("alt-gr", 0xe038),
    ("right-alt", 0xe038),
    ("home", 0xe047),
    ("up", 0xe048),
    ("page-up", 0xe049),
    ("pageup", 0xe049),
    ("left", 0xe04b),
    ("right", 0xe04d),
    ("end", 0xe04f),
    ("down", 0xe050),
    ("page-down", 0xe051),
    ("pagedown", 0xe051),
    ("insert", 0xe052),
    ("delete", 0xe053),
    ("win", 0xe05b),
    ("right-win", 0xe05c),
    ("menu", 0xe05d),
    ("pause", 0xe11d),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_codes_of_scan_code_set_1() {
        // IBM PS/2 technical reference, scan code set 1.
        for (name, code) in
            [("a", 0x1e), ("z", 0x2c), ("1", 2), ("enter", 0x1c), ("f12", 0x58), ("delete", 0xe053)]
        {
            assert_eq!(Key::by_name(name), Some(Key(code)), "{name}");
        }
        assert_eq!(Key::for_char('A'), Some((Key(0x1e), true)));
        assert_eq!(Key::for_char('|'), Some((Key(0x2b), true)));
        assert_eq!(Key::for_char(' '), Some((Key(0x39), false)));
        assert_eq!(Key::for_char('/'), Some((Key(0x35), false)));
        assert_eq!(Key::for_char('\n'), Some((Key(0x1c), false)));
        assert_eq!(Key::for_char('`'), Some((Key(0x29), false)));
        assert_eq!(Key::for_char('é'), None);
    }
}
