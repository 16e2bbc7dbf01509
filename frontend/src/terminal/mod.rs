//! The terminal display: the guest's screen drawn live where the program was started, keys typed reach the guest.
//! Text modes as text, graphics modes as half blocks. Runs on the main thread; the machine runs on its own.

mod draw;
mod keys;

use crate::end::Ending;
use crate::picture::Picture;
use crate::session::Running;
use crossterm::event::{self, Event};
use draw::Screen;
use keys::{Typed, Typist};
use lucid86_machine::{Input, Inputs};
use std::time::{Duration, Instant};

/// Time between two looks at keys and picture.
const STEP: Duration = Duration::from_millis(25);
/// Time between two keys sent on, so that a paste does not overrun the guest's keyboard buffer.
const KEY_PACE: Duration = Duration::from_millis(6);
/// How long a message covers the last line.
const MESSAGE: Duration = Duration::from_secs(4);

const KEYS: &str = "Ctrl-A x ends   Ctrl-A a sends Ctrl-A   Ctrl-A d sends Ctrl-Alt-Del";

/// Shows pictures and sends keys until the machine has ended.
pub fn show(input: &Inputs, picture: &Picture, running: &Running, ending: &Ending) -> Result<(), String> {
    ending.take_screen().map_err(|e| format!("display: the terminal can't be used: {e}"))?;
    let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 25));
    let mut screen = Screen::new(columns.into(), rows.into());
    screen.message(format!("lucid86   {KEYS}"), Instant::now() + MESSAGE);
    let mut typist = Typist::default();
    let mut next_key = Instant::now();
    while !running.is_finished() && ending.has_screen() {
        let wait = if typist.waiting() { KEY_PACE } else { STEP };
        if event::poll(wait).unwrap_or(false) {
            match event::read() {
                Ok(e) => handle(e, &mut screen, &mut typist, input, ending),
                Err(_) => ending.ask(),
            }
        }
        if next_key <= Instant::now() && input.waiting() == 0 && typist.waiting() {
            typist.send_next(input);
            next_key = Instant::now() + KEY_PACE;
        }
        if let Some(shown) = picture.fetch() {
            screen.show(shown);
        }
        if screen.flush().is_err() {
            ending.ask();
        }
    }
    Ok(())
}

fn handle(event: Event, screen: &mut Screen, typist: &mut Typist, input: &Inputs, ending: &Ending) {
    match event {
        Event::Resize(columns, rows) => screen.resize(columns.into(), rows.into()),
        Event::Paste(text) => typist.paste(&text),
        Event::Key(key) => match typist.key(key) {
            Typed::Nothing => {}
            Typed::End => {
                ending.ask();
                let _ = input.send(Input::Quit);
            }
            Typed::Help => screen.message(KEYS.into(), Instant::now() + MESSAGE),
            Typed::Monitor => {
                screen.message(
                    "the monitor needs a place of its own: --monitor tcp:HOST:PORT".into(),
                    Instant::now() + MESSAGE,
                );
            }
        },
        _ => {}
    }
}
