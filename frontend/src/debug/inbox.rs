//! What debuggers have sent and nobody has looked at yet. A move that ends by itself is finished before the next line is
//! taken, as lines of a script expect; only gdb and a monitor's `stop` interrupt it. A machine that runs on (`continue`)
//! hears everything.

use super::Event;
use crossbeam_channel::Receiver;
use lucid86_machine::debug::command::is_stop;
use std::collections::VecDeque;
use std::time::Duration;

/// Events, in the order of their coming.
pub struct Inbox {
    from: Receiver<Event>,
    waiting: VecDeque<Event>,
    /// How many of the waiting ones interrupt.
    urgent: usize,
    /// The machine's move is to be finished before anything that isn't urgent is heard.
    pub finishing: bool,
}

fn is_urgent(e: &Event) -> bool {
    match e {
        Event::GdbCame(_) | Event::Gdb(_) | Event::GdbGone => true,
        Event::Line(_, line) => is_stop(line),
        Event::MonitorCame(..) | Event::MonitorGone(_) | Event::Complete(..) => false,
    }
}

impl Inbox {
    /// Nothing yet.
    pub fn new(from: Receiver<Event>) -> Inbox {
        Inbox { from, waiting: VecDeque::new(), urgent: 0, finishing: false }
    }

    fn keep(&mut self, e: Event) {
        self.urgent += usize::from(is_urgent(&e));
        self.waiting.push_back(e);
    }

    /// Whether someone wants to be heard now.
    pub fn interrupts(&mut self) -> bool {
        while let Ok(e) = self.from.try_recv() {
            self.keep(e);
        }
        if self.finishing { self.urgent > 0 } else { !self.waiting.is_empty() }
    }

    /// The next one; waits for it so long at most.
    pub fn next(&mut self, patience: Duration) -> Option<Event> {
        let Some(e) = self.waiting.pop_front() else { return self.from.recv_timeout(patience).ok() };
        self.urgent -= usize::from(is_urgent(&e));
        Some(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_in_hand_is_interrupted_only_by_stop_and_gdb() {
        let (to, from) = crossbeam_channel::unbounded();
        let mut inbox = Inbox::new(from);
        let say = |inbox: &mut Inbox, line: &str| {
            to.send(Event::Line(1, line.into())).expect("it is heard");
            inbox.interrupts()
        };
        inbox.finishing = true;
        for line in ["registers", "step 5", "c", "s", "stopped", ""] {
            assert!(!say(&mut inbox, line), "{line}");
        }
        inbox.finishing = false;
        assert!(inbox.interrupts());
        inbox.finishing = true;
        assert!(say(&mut inbox, " STOP"));
        let heard = std::iter::from_fn(|| match inbox.next(Duration::ZERO) {
            Some(Event::Line(1, line)) => Some(line),
            _ => None,
        });
        assert_eq!(heard.collect::<Vec<_>>(), ["registers", "step 5", "c", "s", "stopped", "", " STOP"]);
        assert!(!inbox.interrupts());
    }
}
