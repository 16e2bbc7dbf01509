//! What debuggers have sent and nobody has looked at yet. A move that ends by itself is finished before the next line is
//! taken, as lines of a script expect; only gdb and a monitor's `stop` interrupt it. A machine that runs on (`continue`)
//! hears everything.

use super::Event;
use super::mail::Posted;
use super::packets::Part;
use crossbeam_channel::Receiver;
use lucid86_machine::debug::command::is_stop;
use std::collections::VecDeque;
use std::time::Duration;

/// Events, in the order of their coming.
pub struct Inbox {
    from: Receiver<Posted>,
    waiting: VecDeque<Posted>,
    /// How many of the waiting ones interrupt.
    urgent: usize,
    /// The machine's move is to be finished before anything that isn't urgent is heard.
    pub finishing: bool,
}

/// Whether it interrupts a move.
pub fn is_urgent(e: &Event) -> bool {
    match e {
        Event::GdbCame(_) | Event::Gdb(_) | Event::GdbGone => true,
        Event::Line(_, line) => is_stop(line),
        Event::MonitorCame(..) | Event::MonitorGone(_) | Event::Complete(..) => false,
    }
}

impl Inbox {
    /// Nothing yet.
    pub fn new(from: Receiver<Posted>) -> Inbox {
        Inbox { from, waiting: VecDeque::new(), urgent: 0, finishing: false }
    }

    /// Whether something urgent waits.
    pub fn is_urgent(&mut self) -> bool {
        while let Ok(p) = self.from.try_recv() {
            self.urgent += usize::from(is_urgent(&p.event));
            self.waiting.push_back(p);
        }
        self.urgent > 0
    }

    /// Whether someone wants to be heard now.
    pub fn interrupts(&mut self) -> bool {
        self.is_urgent() || !self.finishing && !self.waiting.is_empty()
    }

    /// The next one; waits for it so long at most.
    pub fn next(&mut self, patience: Duration) -> Option<Event> {
        let Some(p) = self.waiting.pop_front() else {
            return self.from.recv_timeout(patience).ok().map(|p| p.event);
        };
        self.urgent -= usize::from(is_urgent(&p.event));
        Some(p.event)
    }

    /// The first urgent one, before its turn.
    pub fn next_urgent(&mut self) -> Option<Event> {
        self.is_urgent().then(|| self.take_out(is_urgent))?
    }

    /// A move or a script has been left: if that was for a `stop` or an interrupt of gdb's, they are obeyed, and not heard
    /// again.
    pub fn obeyed(&mut self) {
        self.take_out(|e| {
            matches!(e, Event::Gdb(Part::Interrupt)) || is_urgent(e) && matches!(e, Event::Line(..))
        });
    }

    /// Takes out the first such event. With a `stop` go the lines that waited before it, as at a shell with Ctrl-C.
    fn take_out(&mut self, which: impl Fn(&Event) -> bool) -> Option<Event> {
        let at = self.waiting.iter().position(|p| which(&p.event))?;
        let taken = self.waiting.remove(at)?.event;
        if let Event::Line(id, _) = &taken {
            let after = self.waiting.split_off(at);
            self.waiting.retain(|p| !matches!(&p.event, Event::Line(n, _) if n == id));
            self.waiting.extend(after);
        }
        self.urgent = self.waiting.iter().filter(|p| is_urgent(&p.event)).count();
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mail::Mail;
    use super::*;

    fn inbox() -> (Mail, Inbox) {
        let (mail, from) = Mail::new();
        (mail, Inbox::new(from))
    }

    fn line(id: u32, text: &str) -> Event {
        Event::Line(id, text.into())
    }

    /// The lines that are heard from now on; what isn't one is `-`.
    fn heard(inbox: &mut Inbox) -> Vec<String> {
        let next = || inbox.next(Duration::ZERO);
        let text = |e| if let Event::Line(_, line) = e { line } else { "-".into() };
        std::iter::from_fn(next).map(text).collect()
    }

    #[test]
    fn a_move_in_hand_is_interrupted_only_by_stop_and_gdb() {
        let (mail, mut inbox) = inbox();
        let say = |inbox: &mut Inbox, text: &str| {
            assert!(mail.send(line(1, text)), "it is heard");
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
        assert_eq!(heard(&mut inbox), ["registers", "step 5", "c", "s", "stopped", "", " STOP"]);
        assert!(!inbox.interrupts());
    }

    #[test]
    fn a_stop_that_is_obeyed_goes_with_what_waited_before_it() {
        let (mail, mut inbox) = inbox();
        let lines = [(1, "step"), (2, "mine"), (1, "registers"), (1, "stop"), (1, "after"), (2, "stop")];
        assert!(lines.iter().all(|(id, text)| mail.send(line(*id, text))));
        assert!(inbox.is_urgent());
        inbox.obeyed();
        assert!(inbox.is_urgent(), "the other's stop");
        assert_eq!(heard(&mut inbox), ["mine", "after", "stop"]);
        assert!(!inbox.is_urgent());
        inbox.obeyed();
    }

    #[test]
    fn an_interrupt_that_is_obeyed_is_not_heard_again() {
        let (mail, mut inbox) = inbox();
        let events = [line(1, "a"), Event::Gdb(Part::Interrupt), Event::GdbGone, line(1, "b")];
        assert!(events.into_iter().all(|e| mail.send(e)));
        assert!(inbox.is_urgent());
        inbox.obeyed();
        assert!(matches!(inbox.next_urgent(), Some(Event::GdbGone)));
        assert!(inbox.next_urgent().is_none());
        assert_eq!(heard(&mut inbox), ["a", "b"]);
    }
}
