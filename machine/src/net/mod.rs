//! Networks: what lies at the far end of a network card's cable.
//!
//! A cable has two ends. The machine's is a [`Plug`]: frames that leave a card are put into a bounded queue and never waited
//! for. The other is a [`Cable`], held by a thread that runs one [`BackEnd`]: [`user`] (a router inside of this process),
//! [`socket`] (another emulator) or [`tap`] (an interface of the host). A back end knows frames, not cards, so any card to come
//! can use it.
//!
//! Frames for the guest are [`Input`]s like keys: they enter at slice boundaries, stamped with virtual time. A back end asks
//! [`Cable::room`] before it sends and holds its source back when there is none; what is sent all the same and doesn't fit is
//! lost, as on a wire. So neither a flood nor a peer that reads nothing grows memory or stalls the machine.

mod dump;
mod open;
pub mod socket;
#[cfg(target_os = "linux")]
mod tap;
pub mod user;

pub use dump::Dump;

use crate::{Input, Inputs};
use crossbeam_channel::{Receiver, Sender, TryRecvError};
pub use mio::Registry;
use mio::event::Event;
use mio::{Events, Poll, Token, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Frames of the guest that wait for the back end; more are lost.
const OUTBOUND: usize = 1024;
/// Frames for the guest that may wait in the machine before a back end holds its source back.
const INBOUND: usize = 128;
/// Frames of the guest that a back end takes before it looks at its other duties.
const BATCH: usize = 256;
/// The token of the machine's end.
const WAKE: Token = Token(0);

/// How a back end says something to the user.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

struct Shared {
    waker: Waker,
    asleep: AtomicBool,    // the back end waits in poll
    held: AtomicBool,      // it holds frames back for want of room
    news: AtomicBool,      // it has sent since the machine last looked
    waiting: AtomicUsize,  // frames in the machine's own queue
    underway: AtomicUsize, // frames sent and not yet in that queue
}

impl Shared {
    fn wake(&self) {
        if self.asleep.swap(false, Ordering::AcqRel) {
            // If the back end is gone there is nobody to wake.
            let _ = self.waker.wake();
        }
    }

    /// Frames on their way. Who has set `held` before it looks here, and who has set `waiting` before it looks at `held`, can't
    /// both miss what the other did: those are sequentially consistent, and `underway` is read after `waiting`.
    fn load(&self) -> usize {
        let waiting = self.waiting.load(Ordering::SeqCst);
        waiting + self.underway.load(Ordering::Relaxed)
    }
}

/// The machine's end of a cable.
pub struct Plug {
    to: Option<Sender<Vec<u8>>>,
    shared: Arc<Shared>,
}

impl Plug {
    /// A frame leaves the card. Never waits.
    pub fn send(&self, frame: &[u8]) {
        if let Some(to) = &self.to
            && to.try_send(frame.to_vec()).is_ok()
        {
            self.shared.wake();
        }
    }

    /// Whether the back end has sent anything since [`Plug::read_news`].
    pub fn has_news(&self) -> bool {
        self.shared.news.load(Ordering::Relaxed)
    }

    /// The machine is about to take all that was sent.
    pub fn read_news(&self) {
        self.shared.news.store(false, Ordering::Relaxed);
    }

    /// A frame has arrived in the machine.
    pub fn taken(&self) {
        if self.shared.underway.load(Ordering::Relaxed) > 0 {
            self.shared.underway.fetch_sub(1, Ordering::Relaxed);
            self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many frames wait for the card now.
    pub fn waiting(&self, frames: usize) {
        self.shared.waiting.store(frames, Ordering::SeqCst);
        if self.shared.held.load(Ordering::SeqCst) && self.shared.load() < INBOUND / 2 {
            self.shared.held.store(false, Ordering::Relaxed);
            self.shared.wake();
        }
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.shared.waker.wake();
    }
}

/// The back end's end of a cable.
pub struct Cable {
    card: usize,
    from: Receiver<Vec<u8>>,
    to: Inputs,
    shared: Arc<Shared>,
}

impl Cable {
    /// Frames that can be sent now without piling up.
    pub fn room(&self) -> usize {
        let room = || INBOUND.saturating_sub(self.shared.load());
        match room() {
            0 => {}
            some => return some,
        }
        self.shared.held.store(true, Ordering::SeqCst);
        // What was taken before the machine could see that we wait for it would wake nobody.
        room()
    }

    /// Sends a frame to the guest. Answers go out even where there is no room: the machine drops what is too much.
    pub fn send(&self, frame: Vec<u8>) {
        if self.shared.load() < 4 * INBOUND {
            self.shared.underway.fetch_add(1, Ordering::Relaxed);
            let _ = self.to.send(Input::Packet { card: self.card, frame });
            self.shared.news.store(true, Ordering::Relaxed);
        }
    }
}

/// Two ends of a cable, and what the back end waits with.
fn cable(card: usize, to: Inputs) -> std::io::Result<(Plug, Cable, Poll)> {
    let poll = Poll::new()?;
    let (out, from) = crossbeam_channel::bounded(OUTBOUND);
    let shared = Arc::new(Shared {
        waker: Waker::new(poll.registry(), WAKE)?,
        asleep: AtomicBool::new(false),
        held: AtomicBool::new(false),
        news: AtomicBool::new(false),
        waiting: AtomicUsize::new(0),
        underway: AtomicUsize::new(0),
    });
    let plug = Plug { to: Some(out), shared: Arc::clone(&shared) };
    Ok((plug, Cable { card, from, to, shared }, poll))
}

/// What a cable leads to. All methods are called on the back end's own thread.
pub trait BackEnd: Send {
    /// Registers what it waits for; [`Token`] 0 is taken.
    fn register(&mut self, registry: &Registry) -> std::io::Result<()>;
    /// A frame from the guest.
    fn guest_sent(&mut self, frame: &[u8], cable: &Cable);
    /// Something that it waits for has come.
    fn ready(&mut self, event: &Event, registry: &Registry);
    /// Once in each round: sends what it has, as far as there is room. When it wants another round, at the latest.
    fn work(&mut self, cable: &Cable, registry: &Registry, now: Instant) -> Option<Duration>;
}

/// Runs a back end until the machine is gone.
fn run(mut back: Box<dyn BackEnd>, cable: &Cable, mut poll: Poll) {
    let mut events = Events::with_capacity(256);
    let Ok(registry) = poll.registry().try_clone() else { return };
    let mut wait = Some(Duration::ZERO);
    loop {
        cable.shared.asleep.store(true, Ordering::SeqCst);
        if !cable.from.is_empty() {
            wait = Some(Duration::ZERO);
        }
        // Interrupted by a signal: as if nothing had come.
        let _ = poll.poll(&mut events, wait);
        cable.shared.asleep.store(false, Ordering::SeqCst);
        for event in events.iter().filter(|e| e.token() != WAKE) {
            back.ready(event, &registry);
        }
        for _ in 0..BATCH {
            match cable.from.try_recv() {
                Ok(frame) => back.guest_sent(&frame, cable),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        wait = back.work(cable, &registry, Instant::now());
    }
}
