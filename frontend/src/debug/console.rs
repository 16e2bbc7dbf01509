//! The monitor at a terminal: the line that is edited stays the last one, below what is said meanwhile.

use super::editor::{Editor, Said};
use super::monitor::{FULL, Output, PROMPT};
use super::{Event, Mail};
use crate::end::Ending;
use crossbeam_channel::bounded;
use crossterm::event::{self, KeyEventKind};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for what a word could be: a machine that moves doesn't answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The lowest line of the terminal.
#[derive(Default)]
struct Lowest {
    editor: Editor,
    /// The machine stands and hears.
    prompt: bool,
    /// Nobody edits a line any more.
    left: bool,
}

impl Lowest {
    /// The line as it stands, as much of it as fits around the cursor.
    fn drawn(&self, width: usize) -> String {
        if self.left {
            return String::new();
        }
        let prompt = if self.prompt { PROMPT } else { "" };
        let (text, at) = self.editor.line();
        let room = width.saturating_sub(prompt.len() + 1).max(1);
        let from = (at + 1).saturating_sub(room);
        let shown: String = text[from..].iter().take(room).collect();
        let right = prompt.len() + at - from;
        let forward = if right > 0 { format!("\x1b[{right}C") } else { String::new() };
        format!("\r\x1b[K{prompt}{shown}\r{forward}")
    }
}

/// The terminal, shared by who types and who speaks.
#[derive(Clone, Default)]
pub struct Console(Arc<Mutex<Lowest>>);

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn width() -> usize {
    crossterm::terminal::size().map_or(80, |s| s.0.into())
}

impl Console {
    fn change<T>(&self, f: impl FnOnce(&mut Lowest) -> T) -> T {
        let mut lowest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let t = f(&mut lowest);
        put(&lowest.drawn(width()));
        t
    }

    /// Puts out whole lines above the one that is edited.
    pub fn say(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.change(|l| {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            let (begin, line) = if l.left { ("", "\n") } else { ("\r\x1b[K", "\r\n") };
            put(&format!("{begin}{}", format!("{text}{end}").replace('\n', line)));
        });
    }

    /// Says that a command may come.
    pub fn prompt(&self) {
        self.change(|l| l.prompt = true);
    }

    fn ask(&self, to: &Mail, begun: String) -> bool {
        let (answer, words) = bounded(1);
        if !to.send(Event::Complete(begun.clone(), answer)) {
            return false;
        }
        if let Ok(words) = words.recv_timeout(PATIENCE)
            && let Some(list) = self.change(|l| l.editor.complete(&begun, &words))
        {
            self.say(&list);
        }
        true
    }

    /// Takes a key. False at the end.
    fn key(&self, e: event::KeyEvent, to: &Mail) -> bool {
        match self.change(|l| l.editor.key(e.code, e.modifiers)) {
            Said::Nothing => true,
            Said::Complete(begun) => self.ask(to, begun),
            Said::Line(line) => {
                // What was typed stays where it is.
                self.change(|l| {
                    let prompt = if std::mem::take(&mut l.prompt) { PROMPT } else { "" };
                    put(&format!("\r\x1b[K{prompt}{line}\r\n"));
                });
                if to.has_room() {
                    return to.send(Event::Line(0, line));
                }
                self.say(FULL);
                true
            }
            Said::Stop => to.send(Event::Line(0, "stop".into())),
            Said::End => false,
        }
    }

    fn read(&self, to: &Mail) {
        while let Ok(e) = event::read() {
            let goes_on = match e {
                event::Event::Key(k) if k.kind != KeyEventKind::Release => self.key(k, to),
                event::Event::Resize(..) => {
                    self.change(|_| ());
                    true
                }
                _ => true,
            };
            if !goes_on {
                break;
            }
        }
        self.change(|l| l.left = true);
    }
}

/// Edits lines at the terminal, if it can be had.
pub fn start(to: &Mail, ending: &Arc<Ending>) -> bool {
    if ending.make_raw().is_err() {
        return false;
    }
    let console = Console::default();
    let below = console.clone();
    ending.keep_below(move || below.change(|_| ()));
    to.send(Event::MonitorCame(0, Output::Terminal(console.clone())));
    let (to, ending) = (to.clone(), Arc::clone(ending));
    std::thread::spawn(move || {
        console.read(&to);
        put("\r\x1b[K");
        ending.restore();
        to.send(Event::MonitorGone(0));
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::{KeyCode, KeyModifiers};

    #[test]
    fn a_long_line_is_shown_around_the_cursor() {
        let mut l = Lowest { prompt: true, ..Lowest::default() };
        assert_eq!(l.drawn(80), "\r\x1b[K(lucid86) \r\x1b[10C");
        "0123456789abcdef".chars().for_each(|c| _ = l.editor.key(KeyCode::Char(c), KeyModifiers::NONE));
        assert_eq!(l.drawn(80), "\r\x1b[K(lucid86) 0123456789abcdef\r\x1b[26C");
        assert_eq!(l.drawn(21), "\r\x1b[K(lucid86) 789abcdef\r\x1b[19C");
        l.editor.key(KeyCode::Home, KeyModifiers::NONE);
        assert_eq!(l.drawn(21), "\r\x1b[K(lucid86) 0123456789\r\x1b[10C");
        l.left = true;
        assert_eq!(l.drawn(21), "");
    }
}
