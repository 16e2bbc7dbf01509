//! The window: the guest's screen in pixels, its keyboard and mouse. Runs on the main thread, as window systems want; the
//! machine runs on its own. The window takes the size of the guest's picture and can be made larger.

mod keys;
mod mouse;

use crate::end::Ending;
use crate::picture::{Picture, Shown};
use crate::session::Running;
use crossbeam_channel::{Receiver, unbounded};
use keys::{Keyboard, Listener};
use lucid86_machine::{Frame, Input, Inputs};
use minifb::{ScaleMode, Window, WindowOptions};
use mouse::Mouse;
use std::time::{Duration, Instant};

const TITLE: &str = "Lucid86";
/// A window that was covered shows nothing until it is drawn again.
const REDRAW: Duration = Duration::from_millis(250);
/// Looks at events a second.
const RATE: usize = 60;
/// Size before the first picture: 80-column text.
const FIRST_SIZE: (usize, usize) = (720, 400);

/// Whether opening a window has a chance.
pub fn possible() -> bool {
    let x11 = cfg!(unix) && !cfg!(target_os = "macos");
    !x11 || std::env::var_os("DISPLAY").is_some_and(|d| !d.is_empty())
}

/// An open window.
pub struct Screen {
    window: Window,
    keys: Receiver<(minifb::Key, bool)>,
    size: (usize, usize),
    frame: Frame,
    drawn: Instant,
}

impl Screen {
    /// Opens the window. The error is for people.
    pub fn open() -> Result<Screen, String> {
        if !possible() {
            return Err("there is no display (DISPLAY is not set)".into());
        }
        let (window, keys) = open(FIRST_SIZE)?;
        Ok(Screen { window, keys, size: FIRST_SIZE, frame: Frame::default(), drawn: Instant::now() })
    }

    /// Shows pictures and sends input until the machine has ended or the window was closed.
    pub fn show(
        mut self,
        input: &Inputs,
        picture: &Picture,
        running: &Running,
        ending: &Ending,
    ) -> Result<(), String> {
        let mut keyboard = Keyboard::default();
        let mut mouse = Mouse::default();
        while !running.is_finished() {
            if !self.window.is_open() {
                ending.ask();
                let _ = input.send(Input::Quit);
                return Ok(());
            }
            self.draw(picture.fetch())?;
            let active = self.window.is_active();
            let inputs = keyboard.inputs(self.keys.try_iter(), active);
            let released = keyboard.holds_ctrl_and_alt();
            let moved = mouse.inputs(&mut self.window, active, released);
            if let Some(title) = mouse.new_title(TITLE) {
                self.window.set_title(&title);
            }
            for i in inputs.into_iter().chain(moved) {
                // A machine that has ended takes no input; the loop ends with it.
                let _ = input.send(i);
            }
        }
        Ok(())
    }

    /// Draws a new picture, or the last one once in a while; without either only looks at events.
    fn draw(&mut self, shown: Option<Shown>) -> Result<(), String> {
        let fresh = match shown {
            Some(Shown::Pixels(frame)) if frame.rgb.len() == frame.width * frame.height => {
                self.frame = frame;
                self.fit()?;
                true
            }
            _ => false,
        };
        if self.frame.rgb.is_empty() || !fresh && self.drawn.elapsed() < REDRAW {
            self.window.update();
            return Ok(());
        }
        self.drawn = Instant::now();
        self.window
            .update_with_buffer(&self.frame.rgb, self.frame.width, self.frame.height)
            .map_err(|e| format!("display: the window can't be drawn: {e}"))
    }

    /// Gives the window the size of the picture when that changes, unless the user gave it a size of their own.
    fn fit(&mut self) -> Result<(), String> {
        let wanted = (self.frame.width, self.frame.height);
        let by_user = self.window.get_size() != self.size;
        if wanted == self.size || by_user || wanted.0 == 0 || wanted.1 == 0 {
            return Ok(());
        }
        (self.window, self.keys) = open(wanted)?;
        self.size = wanted;
        Ok(())
    }
}

fn open((width, height): (usize, usize)) -> Result<(Window, Receiver<(minifb::Key, bool)>), String> {
    let options =
        WindowOptions { resize: true, scale_mode: ScaleMode::AspectRatioStretch, ..WindowOptions::default() };
    let mut window =
        Window::new(TITLE, width, height, options).map_err(|e| crate::one_line(&e.to_string()))?;
    let (to, keys) = unbounded();
    window.set_input_callback(Box::new(Listener(to)));
    window.set_target_fps(RATE);
    Ok((window, keys))
}
