//! The Ctrl-A keys: x ends, a (or Ctrl-A again) sends Ctrl-A, c switches to the monitor and back, h helps.

/// What one byte of input means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The first of two: wait for the next.
    Prefix,
    /// A byte for the guest.
    Guest(u8),
    /// End the run.
    End,
    /// Switch between serial port and monitor.
    Switch,
    /// Show the keys.
    Help,
}

/// Remembers whether Ctrl-A came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Escape {
    prefix: bool,
}

/// Ctrl-A.
pub const PREFIX: u8 = 1;
/// The keys, for a status line or help.
pub const KEYS: &str = "Ctrl-A x ends, Ctrl-A a sends Ctrl-A";

impl Escape {
    /// Takes the next byte.
    pub fn take(&mut self, byte: u8) -> Meaning {
        if !self.prefix {
            self.prefix = byte == PREFIX;
            return if self.prefix { Meaning::Prefix } else { Meaning::Guest(byte) };
        }
        self.prefix = false;
        match byte {
            b'x' | b'X' | 0x18 => Meaning::End,
            b'a' | b'A' | PREFIX => Meaning::Guest(PREFIX),
            b'c' | b'C' => Meaning::Switch,
            b'h' | b'?' => Meaning::Help,
            other => Meaning::Guest(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_contract() {
        let mut e = Escape::default();
        let all: Vec<Meaning> = b"q\x01a\x01x\x01c".iter().map(|&b| e.take(b)).collect();
        use Meaning::*;
        assert_eq!(all, [Guest(b'q'), Prefix, Guest(1), Prefix, End, Prefix, Switch]);
    }
}
