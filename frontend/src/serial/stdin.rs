//! Standard input as a serial port's input. A terminal is put in raw mode; the end of a pipe is only the end of input.

use super::escape::{Escape, KEYS, Meaning};
use super::feed;
use crate::debug::{Event, FULL, Mail, Output};
use crate::end::Ending;
use lucid86_machine::{Input, Inputs};
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;

/// Starts reading. The reader holds the sender until the input ends.
pub(super) fn start(
    port: usize,
    to: Inputs,
    ending: &Arc<Ending>,
    monitor: Option<Mail>,
) -> Result<(), String> {
    if std::io::stdin().is_terminal() {
        ending.say(KEYS);
        ending.make_raw().map_err(|e| format!("the terminal can't be put in raw mode: {e}"))?;
    }
    let ending = Arc::clone(ending);
    if let Some(m) = &monitor {
        let raw = std::io::stdin().is_terminal();
        m.send(Event::MonitorCame(0, Output::Stdout { raw, prompt: raw }));
    }
    std::thread::spawn(move || {
        read(port, &to, &ending, monitor.clone().map(Line::new));
        monitor.map(|m| m.send(Event::MonitorGone(0)))
    });
    Ok(())
}

/// A line for the monitor, typed at a raw terminal.
struct Line {
    to: Mail,
    text: Vec<u8>,
    /// What is typed goes to the monitor.
    on: bool,
    echo: bool,
}

impl Line {
    fn new(to: Mail) -> Line {
        Line { to, text: Vec::new(), on: false, echo: std::io::stdin().is_terminal() }
    }

    fn take(&mut self, byte: u8) {
        let full = format!("\r\n{FULL}\r\n");
        let shown: &[u8] = match byte {
            b'\r' | b'\n' => {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
                // Keys are for the serial port too, and don't wait.
                if !self.echo || self.to.has_room() {
                    self.to.send(Event::Line(0, line));
                    b"\r\n"
                } else {
                    full.as_bytes()
                }
            }
            8 | 0x7f if self.text.pop().is_some() => b"\x08 \x08",
            b' '.. if self.text.len() < 4096 => {
                self.text.push(byte);
                &[byte]
            }
            _ => b"",
        };
        if self.echo {
            let _ = std::io::stdout().write_all(shown);
            let _ = std::io::stdout().flush();
        }
    }
}

fn read(port: usize, to: &Inputs, ending: &Ending, mut monitor: Option<Line>) {
    let mut escape = Escape::default();
    let mut buffer = [0; 512];
    loop {
        let n = match std::io::stdin().lock().read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        for &byte in &buffer[..n] {
            let goes_on = match escape.take(byte) {
                Meaning::Prefix => true,
                Meaning::Guest(b) => match monitor.as_mut().filter(|m| m.on) {
                    Some(m) => {
                        m.take(b);
                        true
                    }
                    None => feed(port, &[b], to),
                },
                Meaning::End => {
                    ending.ask();
                    let _ = to.send(Input::Quit);
                    false
                }
                Meaning::Switch => {
                    match &mut monitor {
                        Some(m) => {
                            m.on = !m.on;
                            ending.say(if m.on {
                                "the monitor hears you"
                            } else {
                                "the serial port hears you"
                            });
                        }
                        None => ending.say("there is no monitor here: --monitor stdio"),
                    }
                    true
                }
                Meaning::Help => {
                    ending.say(KEYS);
                    true
                }
            };
            if !goes_on {
                return;
            }
        }
    }
}
