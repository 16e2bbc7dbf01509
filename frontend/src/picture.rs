//! The latest picture of the guest's screen, handed from the machine's thread to the one that shows it. The machine never
//! waits for the display: an old picture that nobody fetched is replaced.

use lucid86_machine::{Frame, TextScreen, View};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// What is on the guest's screen.
#[derive(Clone, Debug)]
pub enum Shown {
    /// Characters.
    Text(TextScreen),
    /// Pixels.
    Pixels(Frame),
}

/// The place where the latest picture lies until it is fetched.
#[derive(Debug, Default)]
pub struct Picture {
    latest: Mutex<Option<Shown>>,
}

impl Picture {
    /// Takes the picture that came since the last call, if one did.
    pub fn fetch(&self) -> Option<Shown> {
        self.latest.lock().take()
    }
}

/// Takes pictures at the machine's side, no more often than they are worth.
#[derive(Debug)]
pub struct Camera {
    /// Text modes as characters instead of pixels.
    pub text: bool,
    /// Shortest time between two pictures.
    pub every: Duration,
    last: Option<Shot>,
}

/// What is remembered of the last picture.
#[derive(Clone, Copy, Debug)]
struct Shot {
    at: Instant,
    epoch: u64,
}

/// Time between pictures while the guest waits, for what blinks (its half period is 8 frames of 1/70 s) and for what was stored
/// to video memory before.
const BLINK: Duration = Duration::from_millis(114);

impl Camera {
    /// A camera that has taken no picture yet.
    pub fn new(text: bool, every: Duration) -> Camera {
        Camera { text, every, last: None }
    }

    /// Takes a picture if one is due. Returns when to be asked again.
    pub fn shoot(&mut self, view: &dyn View, picture: &Picture) -> Duration {
        let (now, epoch) = (Instant::now(), view.screen_epoch());
        if let Some(last) = self.last {
            // Stores to video memory leave no trace here: a guest that runs may have made some.
            let quiet = epoch == last.epoch && view.idle();
            let due = last.at + if quiet { BLINK.max(self.every) } else { self.every };
            if due > now {
                return due - now;
            }
        }
        let text = view.text_screen();
        self.last = Some(Shot { at: now, epoch });
        let shown = match text.filter(|_| self.text) {
            Some(t) => Shown::Text(t),
            None => Shown::Pixels(view.screen()),
        };
        *picture.latest.lock() = Some(shown);
        self.every
    }
}
