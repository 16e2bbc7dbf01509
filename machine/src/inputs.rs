//! The way of inputs into a machine: a channel, and a bell that wakes the machine where it sleeps.
//!
//! A channel's own receiver spins and yields before it sleeps, which had been a quarter of what a guest costs that idles with
//! 250 timer interrupts a second.

use crate::Input;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, TryRecvError};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Wakes the thread that waits for inputs.
#[derive(Default)]
struct Bell {
    /// Somebody waits, or is about to.
    asleep: AtomicBool,
    who: Mutex<Option<Thread>>,
}

impl Bell {
    fn who(&self) -> MutexGuard<'_, Option<Thread>> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called after what is to be found by who waits.
    fn ring(&self) {
        // Either this sees that somebody waits, or who is about to wait sees what came before this: see `Mailbox::wait`.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst)
            && let Some(t) = &*self.who()
        {
            t.unpark();
        }
    }
}

/// Sends inputs to a machine.
#[derive(Clone)]
pub struct Inputs {
    /// There until this is dropped.
    to: Option<Sender<Input>>,
    bell: Arc<Bell>,
}

impl Inputs {
    /// Sends an input, and wakes the machine if it sleeps.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn send(&self, input: Input) -> Result<(), SendError<Input>> {
        match &self.to {
            Some(to) => to.send(input)?,
            None => return Err(SendError(input)),
        }
        self.bell.ring();
        Ok(())
    }

    /// Inputs that the machine has not taken yet.
    pub fn waiting(&self) -> usize {
        self.to.as_ref().map_or(0, Sender::len)
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.to = None;
        self.bell.ring();
    }
}

/// Where a machine finds its inputs.
pub struct Mailbox {
    from: Receiver<Input>,
    bell: Arc<Bell>,
}

/// Both ends.
pub fn mail() -> (Inputs, Mailbox) {
    let (to, from) = crossbeam_channel::unbounded();
    let bell = Arc::new(Bell::default());
    (Inputs { to: Some(to), bell: bell.clone() }, Mailbox { from, bell })
}

impl Mailbox {
    /// The next input.
    ///
    /// # Errors
    /// There is none now, or none can come any more.
    pub fn take(&self) -> Result<Input, TryRecvError> {
        self.from.try_recv()
    }

    /// Sleeps until there is an input, or for so long; without end if that is `None`. One thread at a time may wait.
    ///
    /// # Errors
    /// The time is up, or none can come any more.
    pub fn wait(&self, at_most: Option<Duration>) -> Result<Input, RecvTimeoutError> {
        let end = at_most.and_then(|d| Instant::now().checked_add(d));
        *self.bell.who() = Some(std::thread::current());
        let found = loop {
            self.bell.asleep.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            match self.from.try_recv() {
                Ok(input) => break Ok(input),
                Err(TryRecvError::Disconnected) => break Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => std::thread::park(),
                Some(Duration::ZERO) => break Err(RecvTimeoutError::Timeout),
                Some(left) => std::thread::park_timeout(left),
            }
        };
        self.bell.asleep.store(false, Ordering::SeqCst);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_wake_who_waits() {
        let (to, from) = mail();
        let sender = std::thread::spawn(move || {
            for n in 0..20_000 {
                to.send(Input::SerialByte(n, 0)).expect("the machine is there");
                if n % 64 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        for n in 0..20_000 {
            assert_eq!(from.wait(None), Ok(Input::SerialByte(n, 0)));
        }
        assert!(sender.join().is_ok());
        assert!(matches!(from.wait(None), Err(RecvTimeoutError::Disconnected)));
    }

    /// One at a time, each answered before the next: every one finds the receiver asleep or about to sleep.
    #[test]
    fn no_bell_is_missed() {
        let ((to, from), (back, answers)) = (mail(), mail());
        let echo = std::thread::spawn(move || {
            while let Ok(input) = from.wait(None) {
                back.send(input).expect("somebody listens");
            }
        });
        for n in 0..20_000usize {
            to.send(Input::SerialByte(n, 0)).expect("somebody listens");
            assert_eq!(answers.wait(None), Ok(Input::SerialByte(n, 0)));
        }
        // The last sender's end wakes, too.
        std::thread::sleep(Duration::from_millis(20));
        drop(to);
        assert!(echo.join().is_ok());
    }

    #[test]
    fn waiting_ends() {
        let (to, from) = mail();
        let wait = Duration::from_millis(30);
        let begun = Instant::now();
        assert!(matches!(from.wait(Some(wait)), Err(RecvTimeoutError::Timeout)));
        assert!(begun.elapsed() >= wait);
        assert!(matches!(from.take(), Err(TryRecvError::Empty)));
        drop(to);
        assert!(matches!(from.wait(Some(wait)), Err(RecvTimeoutError::Disconnected)));
    }
}
