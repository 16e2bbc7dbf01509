//! A monitor's two ends: lines in, text out, on standard input and output or on a socket.

use super::console::{self, Console};
use super::{Event, Mail, listen};
use crate::end::Ending;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// What says that a command may come.
pub const PROMPT: &str = "(lucid86) ";

/// Said to a typed line that finds no room.
pub const FULL: &str = "too many lines wait for the machine: this one is not heard";

/// How long the machine waits for a peer that reads nothing.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Longest line.
const LONGEST: u64 = 4096;

/// Where a monitor's text goes.
pub enum Output {
    /// Standard output; whether the terminal is raw, and whether there is a prompt.
    Stdout {
        /// Lines end in CR LF.
        raw: bool,
        /// A terminal: prompts are shown.
        prompt: bool,
    },
    /// A terminal whose lines are edited here.
    Terminal(Console),
    /// A socket.
    Socket(TcpStream),
}

impl Output {
    /// Puts out text.
    pub fn say(&mut self, text: &str) {
        let _ = match self {
            Output::Stdout { raw: true, .. } => {
                std::io::stdout().write_all(text.replace('\n', "\r\n").as_bytes())
            }
            Output::Stdout { .. } => std::io::stdout().write_all(text.as_bytes()),
            Output::Terminal(c) => return c.say(text),
            Output::Socket(s) => {
                // Who reads nothing for so long is gone; whoever reads the lines finds that out.
                let done = s.write_all(text.as_bytes());
                done.or_else(|_| s.shutdown(Shutdown::Both))
            }
        };
        let _ = std::io::stdout().flush();
    }

    /// Says that a command may come.
    pub fn prompt(&mut self) {
        match self {
            Output::Stdout { prompt: false, .. } => {}
            Output::Terminal(c) => c.prompt(),
            _ => self.say(PROMPT),
        }
    }
}

/// Reads lines until the end. False if nobody hears them any more.
fn lines(id: u32, from: impl Read, to: &Mail) -> bool {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        match from.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return to.send(Event::MonitorGone(id)),
            Ok(_) => {}
        }
        // Blanks at the end stay: a tab there asks for completions.
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_string();
        if !to.send(Event::Line(id, text)) {
            return false;
        }
    }
}

/// A monitor on a socket.
pub fn listen(address: &str, to: Mail, ending: &Arc<Ending>) -> Result<(), String> {
    let mut id = 0;
    listen::listen("monitor", address, ending, move |stream| {
        id += 1;
        let Ok(out) = stream.try_clone() else { return true };
        let _ = out.set_write_timeout(Some(PATIENCE));
        to.send(Event::MonitorCame(id, Output::Socket(out))) && lines(id, stream, &to)
    })
}

/// A monitor on standard input and output, of its own.
pub fn stdio(to: Mail, ending: &Arc<Ending>) {
    let prompt = std::io::stdin().is_terminal();
    if prompt && std::io::stdout().is_terminal() && console::start(&to, ending) {
        return;
    }
    to.send(Event::MonitorCame(0, Output::Stdout { raw: false, prompt }));
    std::thread::spawn(move || {
        lines(0, std::io::stdin(), &to);
    });
}
