//! Scripts: what a person would do at the machine, a line each, in virtual time, so that a scripted run is the same every
//! time. DESIGN §8.
//!
//! ```text
//!     wait serial "login:"      until the text has come out of a serial port (since the last wait that was met)
//!     wait screen "GRUB"        until the text stands on the text screen
//!     wait 3s
//!     type "ls\n"               on the keyboard
//!     key ctrl-alt-delete
//!     serial "uname -a\n"       into COM1
//!     screenshot FILE.png
//!     quit
//! ```
//!
//! Empty lines and lines that start with # count for nothing. `serial 2 "..."` and `wait serial 2 "..."` mean COM2.

use crate::Machine;
use crate::config::{Config, ConfigError, SERIAL_PORTS, parse_duration_ns, unreadable};
use crate::input::{Input, Key};
use crate::outcome::{Outcome, View};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How often the screen is looked at.
const LOOK_NS: u64 = 10_000_000;
/// Time between a met condition and what is done then: the guest has to get from its prompt to its read.
const REACTION_NS: u64 = 2_000_000;
/// Serial output that is kept for a wait to look through.
const KEPT: usize = 1 << 16;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    WaitSerial(usize, String),
    WaitScreen(String),
    WaitTime(u64),
    Type(Vec<(Key, bool)>),
    Serial(usize, String),
    Screenshot(PathBuf),
    Quit,
}

/// Where a script stands: saved with the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The next step.
    pub next: usize,
    /// Not before this time.
    not_before: u64,
    /// When the present wait ends or is looked at again.
    look_at: Option<u64>,
    /// Output of the serial ports that no wait has passed yet.
    seen: [Vec<u8>; SERIAL_PORTS],
}

/// A script at work.
#[derive(Clone, Debug)]
pub struct Script {
    steps: Vec<Step>,
    /// Where it stands.
    pub position: Position,
}

impl Script {
    /// The configuration's script, if there is one.
    pub fn from_config(config: &Config) -> Result<Option<Script>, ConfigError> {
        let (text, name) = match (&config.script_text, &config.script) {
            (Some(text), _) => (text.clone(), "script".to_string()),
            (None, Some(path)) => {
                (std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?, path.display().to_string())
            }
            (None, None) => return Ok(None),
        };
        Script::parse(&text, &name).map(Some)
    }

    /// Reads a script; an error names its line.
    pub fn parse(text: &str, name: &str) -> Result<Script, ConfigError> {
        let mut steps = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                steps.push(step(line).map_err(|e| ConfigError(format!("{name}, line {}: {e}", i + 1)))?);
            }
        }
        Ok(Script { steps, position: Position::default() })
    }

    /// Whether all steps are done.
    pub fn done(&self) -> bool {
        self.position.next >= self.steps.len()
    }

    /// What came out of a serial port.
    pub(crate) fn saw_serial(&mut self, port: usize, bytes: &[u8]) {
        if self.done() {
            return;
        }
        let seen = &mut self.position.seen[port];
        seen.extend_from_slice(bytes);
        if seen.len() > 2 * KEPT {
            seen.drain(..seen.len() - KEPT);
        }
    }

    /// When there is something to do, as far as time alone brings it.
    pub(crate) fn due(&self) -> Option<u64> {
        match self.steps.get(self.position.next)? {
            Step::WaitSerial(..) => None,
            Step::WaitScreen(_) | Step::WaitTime(_) => {
                Some(self.position.look_at.unwrap_or(self.position.not_before))
            }
            _ => Some(self.position.not_before),
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn step(&mut self, m: &mut Machine, now: u64) -> Option<Outcome> {
        loop {
            let Some(step) = self.steps.get(self.position.next).cloned() else {
                m.board.watch.output = false;
                return None;
            };
            m.board.watch.output = matches!(step, Step::WaitSerial(..));
            if now < self.position.not_before && !m.board.watch.output {
                return None;
            }
            let met = match step {
                Step::WaitSerial(port, text) => self.pass_serial(port, text.as_bytes()),
                Step::WaitScreen(text) => {
                    let due = self.position.look_at.is_none_or(|t| now >= t);
                    let found = due && m.text_screen().is_some_and(|s| s.text().contains(&text));
                    if due && !found {
                        self.position.look_at = Some((now / LOOK_NS + 1) * LOOK_NS);
                    }
                    found
                }
                Step::WaitTime(ns) => {
                    let end = *self.position.look_at.get_or_insert(now.saturating_add(ns));
                    now >= end
                }
                Step::Type(keys) => {
                    for (key, down) in keys {
                        m.apply(Input::Key { key, down });
                    }
                    true
                }
                Step::Serial(port, text) => {
                    for byte in text.bytes() {
                        m.apply(Input::SerialByte(port, byte));
                    }
                    true
                }
                Step::Screenshot(path) => match m.screenshot_png().map(|png| std::fs::write(&path, png)) {
                    Ok(Ok(())) => true,
                    Ok(Err(e)) => return Some(Outcome::HostError(format!("{}: {e}", path.display()))),
                    Err(e) => return Some(Outcome::HostError(format!("{}: {e}", path.display()))),
                },
                Step::Quit => return Some(Outcome::Quit),
            };
            if !met {
                return None;
            }
            self.position.next += 1;
            self.position.look_at = None;
            self.position.not_before = now + REACTION_NS;
        }
    }

    /// Looks for `text` in what came out, and takes everything up to its end.
    fn pass_serial(&mut self, port: usize, text: &[u8]) -> bool {
        let seen = &mut self.position.seen[port];
        match find(seen, text) {
            Some(at) => {
                seen.drain(..at + text.len());
                true
            }
            None => {
                // What is left can only matter as the start of the text.
                let keep = seen.len().min(text.len().saturating_sub(1));
                seen.drain(..seen.len() - keep);
                false
            }
        }
    }
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len().max(1)).position(|w| w == what)
}

fn step(line: &str) -> Result<Step, String> {
    let (word, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(w, r)| (w, r.trim()));
    match word {
        "wait" => wait(rest),
        "type" => keys_of_text(&quoted(rest)?).map(Step::Type),
        "key" => chord(rest).map(Step::Type),
        "serial" => {
            let (port, rest) = port(rest)?;
            Ok(Step::Serial(port, quoted(rest)?))
        }
        "screenshot" if !rest.is_empty() => Ok(Step::Screenshot(rest.trim_matches('"').into())),
        "screenshot" => Err("screenshot needs a file: screenshot FILE.png".into()),
        "quit" => Ok(Step::Quit),
        _ => Err(format!("'{word}' is not one of: wait, type, key, serial, screenshot, quit")),
    }
}

fn wait(rest: &str) -> Result<Step, String> {
    match rest.split_once(char::is_whitespace) {
        Some(("serial", text)) => {
            let (port, text) = port(text.trim())?;
            Ok(Step::WaitSerial(port, nonempty(quoted(text)?)?))
        }
        Some(("screen", text)) => Ok(Step::WaitScreen(nonempty(quoted(text.trim())?)?)),
        None => parse_duration_ns(rest).map(Step::WaitTime).ok_or_else(|| {
            format!("'{rest}' is nothing to wait for: serial \"TEXT\", screen \"TEXT\" or a time such as 3s")
        }),
        Some(_) => Err(format!(
            "'{rest}' is nothing to wait for: serial \"TEXT\", screen \"TEXT\" or a time such as 3s"
        )),
    }
}

fn nonempty(s: String) -> Result<String, String> {
    if s.is_empty() { Err("an empty text is always there: give some text".into()) } else { Ok(s) }
}

/// An optional port number, 1 to 4.
fn port(rest: &str) -> Result<(usize, &str), String> {
    match rest.split_once(char::is_whitespace) {
        Some((n, text)) if !n.starts_with('"') => match n.parse::<usize>() {
            Ok(n) if (1..=SERIAL_PORTS).contains(&n) => Ok((n - 1, text.trim())),
            _ => Err(format!("'{n}' is no serial port: 1 to {SERIAL_PORTS}")),
        },
        _ => Ok((0, rest)),
    }
}

/// Text in quotes, with \n, \r, \t, \e, \\, \", \xHH.
fn quoted(s: &str) -> Result<String, String> {
    let inner = s
        .strip_prefix('"')
        .and_then(|s| s.strip_suffix('"'))
        .filter(|_| s.len() >= 2)
        .ok_or_else(|| format!("{s} is not a text in quotes: \"TEXT\""))?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(escaped(&mut chars)?),
            '"' => return Err("a quote inside the text is written \\\"".into()),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn escaped(chars: &mut std::str::Chars) -> Result<char, String> {
    Ok(match chars.next() {
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('e') => '\u{1b}',
        Some(c @ ('\\' | '"')) => c,
        Some('x') => {
            let digits: String = chars.by_ref().take(2).collect();
            let code = u8::from_str_radix(&digits, 16).ok().filter(|c| *c < 0x80);
            char::from(
                code.ok_or_else(|| {
                    format!("\\x{digits} is not a character: two hexadecimal digits below 80")
                })?,
            )
        }
        other => {
            return Err(format!(
                "\\{} is not an escape: \\n \\r \\t \\e \\\\ \\\" \\xHH",
                other.unwrap_or(' ')
            ));
        }
    })
}

fn keys_of_text(text: &str) -> Result<Vec<(Key, bool)>, String> {
    let mut out = Vec::new();
    for c in text.chars() {
        let (key, shift) = Key::for_char(c).ok_or_else(|| format!("{c:?} is on no key of a US keyboard"))?;
        if shift {
            out.push((Key::SHIFT, true));
        }
        out.extend([(key, true), (key, false)]);
        if shift {
            out.push((Key::SHIFT, false));
        }
    }
    Ok(out)
}

/// Keys held together: `ctrl-alt-delete`. Names may have dashes themselves (`page-up`), the longest name counts.
fn chord(name: &str) -> Result<Vec<(Key, bool)>, String> {
    let words: Vec<&str> = name.split('-').collect();
    let mut keys = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let found = (at + 1..=words.len())
            .rev()
            .find_map(|end| Some((Key::by_name(&words[at..end].join("-"))?, end)));
        let (key, end) = found
            .ok_or_else(|| format!("'{}' is not a key, such as a, enter, f1, ctrl-alt-delete", words[at]))?;
        keys.push(key);
        at = end;
    }
    let press = keys.iter().map(|k| (*k, true));
    let release = keys.iter().rev().map(|k| (*k, false));
    Ok(press.chain(release).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Step, String> {
        Script::parse(line, "s").map(|mut s| s.steps.remove(0)).map_err(|e| e.0)
    }

    #[test]
    fn lines_mean_what_the_contract_says() {
        assert_eq!(one("wait serial \"login:\""), Ok(Step::WaitSerial(0, "login:".into())));
        assert_eq!(one("wait serial 2 \"x\""), Ok(Step::WaitSerial(1, "x".into())));
        assert_eq!(one("wait screen \"GRUB\""), Ok(Step::WaitScreen("GRUB".into())));
        assert_eq!(one("wait 3s"), Ok(Step::WaitTime(3_000_000_000)));
        assert_eq!(one("serial \"a\\n\\x03\""), Ok(Step::Serial(0, "a\n\u{3}".into())));
        assert_eq!(one("quit"), Ok(Step::Quit));
        let Ok(Step::Type(keys)) = one("key ctrl-alt-delete") else { panic!() };
        assert_eq!(keys.len(), 6);
        assert_eq!(keys[2], (Key::DELETE, true));
        let Ok(Step::Type(keys)) = one("key page-up") else { panic!() };
        assert_eq!(keys[0], (Key(0xe049), true));
        let Ok(Step::Type(keys)) = one("type \"aB\\n\"") else { panic!() };
        assert_eq!(keys.len(), 8);
    }

    #[test]
    fn mistakes_name_their_line() {
        for bad in [
            "wait",
            "wait serial",
            "type x",
            "key",
            "key ctrl-nothing",
            "serial 9 \"x\"",
            "jump",
            "type \"\\q\"",
        ] {
            let e = Script::parse(&format!("\n# note\n{bad}\n"), "s").unwrap_err().0;
            assert!(e.starts_with("s, line 3: ") && !e.contains('\n'), "{e}");
        }
    }

    #[test]
    fn a_wait_takes_what_it_has_seen() {
        let mut s = Script::parse("wait serial \"$ \"\nwait serial \"$ \"", "s").unwrap();
        s.saw_serial(0, b"hello\n");
        assert!(!s.pass_serial(0, b"$ "));
        s.saw_serial(0, b"root$");
        assert!(!s.pass_serial(0, b"$ "));
        s.saw_serial(0, b" x");
        assert!(s.pass_serial(0, b"$ "));
        assert!(!s.pass_serial(0, b"$ "));
    }
}
