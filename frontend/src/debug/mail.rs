//! The way of debuggers' events to the [`super::Inbox`]. What waits there is bounded: who sends more waits too.

use super::Event;
use super::inbox::is_urgent;
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

/// Most lines from one listener that may wait for a move. As many again of what must not wait for them: `stop`, comings and
/// goings.
pub const MOST_LINES: usize = 256;

/// How many events of a listener wait.
#[derive(Default)]
struct Room {
    taken: Mutex<usize>,
    left: Condvar,
}

/// A place in a room, until it is dropped.
struct Place(Arc<Room>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.taken.lock() -= 1;
        self.0.left.notify_all();
    }
}

/// An event that waits.
pub struct Posted {
    /// The event.
    pub event: Event,
    _place: Place,
}

/// Sends events.
#[derive(Clone)]
pub struct Mail {
    to: Sender<Posted>,
    room: Arc<Room>,
}

impl Mail {
    /// Both ends.
    pub fn new() -> (Mail, Receiver<Posted>) {
        let (to, from) = unbounded();
        (Mail { to, room: Arc::default() }, from)
    }

    /// For another listener: what waits of one leaves room for the other's.
    pub fn of_another(&self) -> Mail {
        Mail { to: self.to.clone(), room: Arc::default() }
    }

    /// Sends, when there is room. False if nobody hears any more.
    pub fn send(&self, event: Event) -> bool {
        let waits = matches!(event, Event::Line(..)) && !is_urgent(&event);
        let most = if waits { MOST_LINES } else { 2 * MOST_LINES };
        let mut taken = self.room.taken.lock();
        self.room.left.wait_while(&mut taken, |n| *n >= most);
        *taken += 1;
        drop(taken);
        self.to.send(Posted { event, _place: Place(Arc::clone(&self.room)) }).is_ok()
    }

    /// Whether a line needn't wait for room. Who reads keys must not wait: they may be Ctrl-C.
    pub fn has_room(&self) -> bool {
        *self.room.taken.lock() < MOST_LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_sends_more_than_there_is_room_for_waits() {
        let (mail, from) = Mail::new();
        let line = |text: &str| Event::Line(1, text.into());
        assert!((0..MOST_LINES).all(|_| mail.has_room() && mail.send(line("registers"))));
        assert!(!mail.has_room());
        // There is room for what is urgent, and for others.
        assert!(mail.send(line("stop")) && mail.of_another().send(line("registers")));
        let (done, sent) = crossbeam_channel::bounded(1);
        std::thread::spawn(move || done.send(mail.send(line("one more"))));
        assert!(sent.recv_timeout(Duration::from_millis(50)).is_err());
        let first = [from.recv(), from.recv()];
        assert!(sent.recv_timeout(Duration::from_millis(50)).is_err(), "they are not gone yet");
        drop(first);
        assert_eq!(sent.recv_timeout(Duration::from_secs(10)), Ok(true));
    }

    #[test]
    fn nobody_waits_for_a_room_that_is_gone() {
        let (mail, from) = Mail::new();
        let (done, sent) = crossbeam_channel::bounded(1);
        std::thread::spawn(move || {
            while mail.send(Event::Line(1, "registers".into())) {}
            done.send(())
        });
        std::thread::sleep(Duration::from_millis(20));
        drop(from);
        assert_eq!(sent.recv_timeout(Duration::from_secs(10)), Ok(()));
    }
}
