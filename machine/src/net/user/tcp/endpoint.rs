//! The router's end of one TCP connection with the guest (RFC 9293), and the host's socket that its bytes come from and go to.
//!
//! The cable to the guest loses only what overflows a bounded queue, and keeps order. So there is no congestion control, what
//! comes out of order is not kept (the guest sends it again), and a lost segment is sent again after three duplicate
//! acknowledgements or a timeout. Flow control is complete in both directions: what the world is slow to take closes the window
//! to the guest; what the guest is slow to take stays in the host's socket.

use super::super::host::Stream;
use super::{Out, bare};
use smoltcp::wire::{TcpControl, TcpPacket};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// Bytes for the guest that are kept, when there is plenty of memory and when there is not.
const OUT: usize = 256 << 10;
const OUT_SCARCE: usize = 4 << 10;
/// Bytes for the world that are kept: the window.
const IN: usize = 256 << 10;
const IN_SCARCE: usize = 4 << 10;
/// Memory that a buffer keeps however little is in it.
const SPARE: usize = 4 << 10;
/// Our window's scale (RFC 7323).
const SCALE: u8 = 3;
/// Segment size without a word of the guest's (RFC 9293, 3.7.1), and at most.
const MSS: usize = 536;
const MSS_MAX: usize = 1460;
/// Timeouts: the first, the longest, how many.
const RTO: Duration = Duration::from_millis(400);
const RTO_MAX: Duration = Duration::from_secs(20);
const TRIES: u32 = 12;
/// How long a closed connection answers a repeated FIN.
const LINGER: Duration = Duration::from_secs(2);

/// What the router needs of a segment.
pub struct Segment<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: Option<u32>,
    /// Resets.
    pub rst: bool,
    syn: bool,
    fin: bool,
    window: u16,
    mss: Option<u16>,
    scale: Option<u8>,
    data: &'a [u8],
}

impl<'a> Segment<'a> {
    /// By its parts; `None` if the options are damaged.
    pub fn from(p: &'a TcpPacket<&'a [u8]>) -> Option<Segment<'a>> {
        let options = p.options_summary().ok()?;
        Some(Segment {
            seq: p.seq_number().0 as u32,
            ack: p.ack().then(|| p.ack_number().0 as u32),
            rst: p.rst(),
            syn: p.syn(),
            fin: p.fin(),
            window: p.window_len(),
            mss: options.max_segment_size,
            scale: options.window_scale,
            data: p.payload(),
        })
    }

    /// Whether it opens a connection.
    pub fn opens(&self) -> bool {
        self.syn && self.ack.is_none() && !self.rst && !self.fin
    }

    /// Its length in sequence space.
    pub fn length(&self) -> u32 {
        self.data.len() as u32 + u32::from(self.syn) + u32::from(self.fin)
    }
}

/// What becomes of a connection.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Keep,
    /// It is over.
    Gone,
    /// It is over, and the segment opens another one between the same ends.
    Again,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The guest's SYN is here; the host connects.
    Connecting,
    /// Our SYN, with an acknowledgement, is underway.
    SynReceived,
    /// Our SYN is underway: a forwarded connection.
    SynSent,
    Open,
    /// Both directions are closed and acknowledged.
    Lingering,
}

/// `a` is before `b` in sequence space.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// One connection.
pub struct Endpoint {
    state: State,
    stream: Box<dyn Stream>,
    readable: bool,
    writable: bool,
    scarce: bool, // memory is
    // From the guest to the world.
    rcv_nxt: u32,
    advertised: u32, // right edge of the window that the guest knows
    incoming: VecDeque<u8>,
    guest_fin: bool,
    finished: bool, // the host's socket knows
    ack_due: bool,
    // From the world to the guest.
    snd_una: u32,
    snd_nxt: u32,
    snd_max: u32,
    window: u32,
    scale: Option<u8>, // the guest's
    mss: usize,
    outgoing: VecDeque<u8>, // from snd_una on
    host_fin: bool,
    fin_acked: bool,
    duplicates: u8,
    resend: bool,
    timer: Option<Instant>,
    rto: Duration,
    tries: u32,
}

impl Endpoint {
    fn new(state: State, stream: Box<dyn Stream>, iss: u32) -> Endpoint {
        Endpoint {
            state,
            stream,
            readable: true,
            writable: true,
            scarce: false,
            rcv_nxt: 0,
            advertised: 0,
            incoming: VecDeque::new(),
            guest_fin: false,
            finished: false,
            ack_due: false,
            snd_una: iss,
            snd_nxt: iss,
            snd_max: iss,
            window: 0,
            scale: None,
            mss: MSS,
            outgoing: VecDeque::new(),
            host_fin: false,
            fin_acked: false,
            duplicates: 0,
            resend: false,
            timer: None,
            rto: RTO,
            tries: 0,
        }
    }

    /// For a guest's SYN: the host connects first.
    pub fn accepting(stream: Box<dyn Stream>, syn: &Segment, iss: u32) -> Endpoint {
        let mut e = Endpoint::new(State::Connecting, stream, iss);
        e.learn(syn);
        e
    }

    /// For a connection that stands on the host's side: calls the guest.
    pub fn calling(stream: Box<dyn Stream>, iss: u32, now: Instant) -> Endpoint {
        let mut e = Endpoint::new(State::SynSent, stream, iss);
        e.timer = Some(now);
        e
    }

    fn learn(&mut self, syn: &Segment) {
        self.rcv_nxt = syn.seq.wrapping_add(1);
        self.advertised = self.rcv_nxt;
        self.mss = usize::from(syn.mss.unwrap_or(MSS as u16)).clamp(64, MSS_MAX);
        self.scale = syn.scale.map(|s| s.min(14));
        self.window = syn.window.into();
    }

    /// Bytes that wait here.
    pub fn buffered(&self) -> usize {
        self.incoming.len() + self.outgoing.len()
    }

    /// Whether there is plenty of memory for all connections or not.
    pub fn set_scarce(&mut self, scarce: bool) {
        self.scarce = scarce;
    }

    /// Gives memory back that its buffers no longer need.
    pub fn shrink(&mut self) {
        for buffer in [&mut self.incoming, &mut self.outgoing] {
            if buffer.capacity() > SPARE.max(4 * buffer.len()) {
                buffer.shrink_to(2 * buffer.len());
            }
        }
    }

    /// Bytes for the world that may still come.
    fn free(&self) -> usize {
        let limit = if self.scarce { IN_SCARCE } else { IN };
        limit.saturating_sub(self.incoming.len())
    }

    /// When it wants to hear of time.
    pub fn timer(&self) -> Option<Instant> {
        self.timer
    }

    /// The socket is ready.
    pub fn ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    fn in_flight(&self) -> u32 {
        self.snd_nxt.wrapping_sub(self.snd_una)
    }

    /// Bytes of the queue that have been sent.
    fn sent(&self) -> usize {
        (self.in_flight() as usize).min(self.outgoing.len())
    }

    /// Whether our FIN has its number already.
    fn fin_sent(&self) -> bool {
        self.host_fin && self.snd_max.wrapping_sub(self.snd_una) as usize > self.outgoing.len()
    }

    /// Whether another round would do something now but for want of room.
    pub fn wants_more(&self) -> bool {
        let opened = matches!(self.state, State::Open);
        let unsent = self.outgoing.len() - self.sent();
        opened
            && (self.readable && !self.host_fin && self.outgoing.len() < OUT_SCARCE
                || unsent > 0 && self.may_send(unsent) > 0)
    }

    // --- segments ---------------------------------------------------------------------------------------------------

    /// A segment from the guest.
    pub fn segment(&mut self, s: &Segment, out: &Out, now: Instant) -> Verdict {
        if s.rst {
            return self.reset(s);
        }
        match self.state {
            State::Connecting => Verdict::Keep,
            State::SynSent => self.answered(s, out),
            State::Lingering if s.opens() => Verdict::Again,
            State::Lingering => {
                self.acknowledge(out);
                Verdict::Keep
            }
            State::SynReceived if s.syn => {
                self.timer = Some(now); // our answer was lost: once more
                Verdict::Keep
            }
            State::SynReceived | State::Open if s.syn => {
                self.acknowledge(out);
                Verdict::Keep
            }
            State::SynReceived | State::Open => self.data(s, out, now),
        }
    }

    /// Takes a reset that is inside of the window (RFC 9293, 3.10.7.4; in SYN-SENT one that acknowledges our SYN).
    fn reset(&mut self, s: &Segment) -> Verdict {
        let valid = match self.state {
            State::SynSent => s.ack == Some(self.snd_una.wrapping_add(1)),
            State::Connecting => true,
            _ => !before(s.seq, self.rcv_nxt) && s.seq.wrapping_sub(self.rcv_nxt) <= IN as u32,
        };
        if !valid {
            return Verdict::Keep;
        }
        self.stream.abort();
        Verdict::Gone
    }

    /// An answer to our SYN.
    fn answered(&mut self, s: &Segment, out: &Out) -> Verdict {
        let expected = self.snd_una.wrapping_add(1);
        if !s.syn || s.ack != Some(expected) {
            if let Some(ack) = s.ack.filter(|a| *a != expected) {
                out.send(bare(TcpControl::Rst, ack, None));
            }
            return Verdict::Keep;
        }
        self.learn(s);
        self.opened(expected);
        self.ack_due = true;
        Verdict::Keep
    }

    fn opened(&mut self, una: u32) {
        self.state = State::Open;
        self.snd_una = una;
        self.snd_nxt = una;
        self.snd_max = una;
        self.timer = None;
        self.tries = 0;
        self.rto = RTO;
    }

    fn data(&mut self, s: &Segment, out: &Out, now: Instant) -> Verdict {
        let Some(ack) = s.ack else { return Verdict::Keep };
        if self.state == State::SynReceived {
            let expected = self.snd_una.wrapping_add(1);
            if ack != expected {
                out.send(bare(TcpControl::Rst, ack, None));
                return Verdict::Keep;
            }
            self.opened(expected);
        }
        if before(self.snd_max, ack) {
            self.acknowledge(out); // of what was never sent
            return Verdict::Keep;
        }
        self.acknowledged(ack, s, now);
        if self.take(s, out) {
            self.ack_due = true;
        }
        self.close(now)
    }

    /// What the guest's acknowledgement and window say.
    fn acknowledged(&mut self, ack: u32, s: &Segment, now: Instant) {
        let window = u32::from(s.window) << self.scale.unwrap_or(0);
        if before(self.snd_una, ack) {
            let fin_sent = self.fin_sent();
            let n = ack.wrapping_sub(self.snd_una) as usize;
            self.fin_acked |= fin_sent && n > self.outgoing.len();
            self.outgoing.drain(..n.min(self.outgoing.len()));
            self.snd_una = ack;
            if before(self.snd_nxt, ack) {
                self.snd_nxt = ack;
            }
            self.duplicates = 0;
            self.tries = 0;
            self.rto = RTO;
            self.timer = (self.snd_una != self.snd_max).then(|| now + self.rto);
        } else if ack == self.snd_una && s.length() == 0 && window == self.window && self.in_flight() > 0 {
            self.duplicates = self.duplicates.saturating_add(1);
            self.resend |= self.duplicates == 3;
        }
        if !before(ack, self.snd_una) {
            self.window = window;
            if window == 0 {
                // Who answers probes is there, however long its window stays closed (RFC 9293, 3.8.6.1).
                self.tries = 0;
            }
        }
    }

    /// Takes data in order as far as the window goes; whether an acknowledgement is due.
    fn take(&mut self, s: &Segment, out: &Out) -> bool {
        if s.length() == 0 {
            return before(s.seq, self.rcv_nxt); // a probe of a connection that is thought idle
        }
        let skip = self.rcv_nxt.wrapping_sub(s.seq);
        if before(self.rcv_nxt, s.seq) || skip > s.length() {
            self.acknowledge(out); // a gap: each such segment gets its duplicate acknowledgement
            return false;
        }
        let data = s.data.get(skip as usize..).unwrap_or(&[]);
        if self.guest_fin {
            return true;
        }
        let n = data.len().min(self.free());
        self.incoming.extend(&data[..n]);
        self.rcv_nxt = self.rcv_nxt.wrapping_add(n as u32);
        if s.fin && n == data.len() {
            self.guest_fin = true;
            self.rcv_nxt = self.rcv_nxt.wrapping_add(1);
        }
        true
    }

    fn close(&mut self, now: Instant) -> Verdict {
        if self.guest_fin && self.fin_acked && self.incoming.is_empty() {
            self.state = State::Lingering;
            self.timer = Some(now + LINGER);
        }
        Verdict::Keep
    }

    // --- sending ----------------------------------------------------------------------------------------------------

    /// The window for the guest, as the header has it.
    fn offer(&mut self) -> u16 {
        let free = self.free() as u32;
        let scale = if self.scale.is_some() { SCALE } else { 0 };
        let window = (free >> scale).min(0xffff);
        self.advertised = self.rcv_nxt.wrapping_add(window << scale);
        window as u16
    }

    fn acknowledge(&mut self, out: &Out) {
        let mut repr = bare(TcpControl::None, self.snd_nxt, Some(self.rcv_nxt));
        repr.window_len = self.offer();
        self.ack_due = false;
        out.send(repr);
    }

    fn send_syn(&mut self, out: &Out) {
        let answer = self.state == State::SynReceived;
        let mut repr = bare(TcpControl::Syn, self.snd_una, answer.then_some(self.rcv_nxt));
        repr.window_len = IN.min(0xffff) as u16;
        repr.max_seg_size = Some(MSS_MAX as u16);
        repr.window_scale = (!answer || self.scale.is_some()).then_some(SCALE);
        self.advertised = self.rcv_nxt.wrapping_add(repr.window_len.into());
        out.send(repr);
    }

    fn send_reset(&mut self, out: &Out) {
        out.send(match self.state {
            State::Connecting => bare(TcpControl::Rst, 0, Some(self.rcv_nxt)),
            _ => bare(TcpControl::Rst, self.snd_nxt, Some(self.rcv_nxt)),
        });
    }

    /// Sends `n` bytes of the queue from `at` on, in one segment; fewer if the queue's memory ends there.
    fn send_data(&mut self, at: usize, n: usize, out: &Out) -> usize {
        let window_len = self.offer();
        let (first, second) = self.outgoing.as_slices();
        let part = if at < first.len() { &first[at..] } else { &second[at - first.len()..] };
        let n = n.min(part.len());
        let control = if at + n == self.outgoing.len() { TcpControl::Psh } else { TcpControl::None };
        let mut repr = bare(control, self.snd_una.wrapping_add(at as u32), Some(self.rcv_nxt));
        repr.window_len = window_len;
        repr.payload = &part[..n];
        out.send(repr);
        self.ack_due = false;
        n
    }

    fn send_fin(&mut self, out: &Out) {
        let seq = self.snd_una.wrapping_add(self.outgoing.len() as u32);
        let mut repr = bare(TcpControl::Fin, seq, Some(self.rcv_nxt));
        repr.window_len = self.offer();
        self.ack_due = false;
        out.send(repr);
    }

    /// Bytes of `unsent` that the guest's window lets through in one segment now. No crumbs while others are underway.
    fn may_send(&self, unsent: usize) -> usize {
        let left = self.window.saturating_sub(self.in_flight()) as usize;
        let n = unsent.min(self.mss).min(left);
        if n < unsent.min(self.mss) && self.in_flight() > 0 { 0 } else { n }
    }

    // --- moving bytes -----------------------------------------------------------------------------------------------

    /// Moves what can be moved.
    pub fn pump(&mut self, out: &Out, now: Instant) -> Verdict {
        match self.state {
            State::Connecting => self.connecting(out, now),
            State::Open => {
                if self.write_out().is_err() || self.read_in().is_err() {
                    self.send_reset(out);
                    return Verdict::Gone;
                }
                self.send_on(out, now);
                self.close(now)
            }
            _ => Verdict::Keep,
        }
    }

    fn connecting(&mut self, out: &Out, now: Instant) -> Verdict {
        match self.stream.connected() {
            Ok(true) => {
                self.state = State::SynReceived;
                self.send_syn(out);
                self.timer = Some(now + self.rto);
                Verdict::Keep
            }
            Ok(false) => Verdict::Keep,
            Err(_) => {
                self.send_reset(out);
                Verdict::Gone
            }
        }
    }

    fn write_out(&mut self) -> std::io::Result<()> {
        while self.writable && !self.incoming.is_empty() {
            match self.stream.write(self.incoming.as_slices().0) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => _ = self.incoming.drain(..n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if self.incoming.is_empty() && self.guest_fin && !self.finished {
            self.finished = true;
            self.stream.finish();
        }
        // A window that had shrunk to little has opened again: the guest must hear of it.
        let known = self.advertised.wrapping_sub(self.rcv_nxt) as usize;
        let limit = if self.scarce { IN_SCARCE } else { IN };
        self.ack_due |= known < limit / 8 && self.free() >= limit / 2;
        Ok(())
    }

    fn read_in(&mut self) -> std::io::Result<()> {
        let limit = if self.scarce { OUT_SCARCE } else { OUT };
        let mut buffer = [0; 16 << 10];
        while self.readable && !self.host_fin && self.outgoing.len() < limit {
            let most = buffer.len().min(limit - self.outgoing.len());
            match self.stream.read(&mut buffer[..most]) {
                Ok(0) => self.host_fin = true,
                Ok(n) => self.outgoing.extend(&buffer[..n.min(most)]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn send_on(&mut self, out: &Out, now: Instant) {
        if std::mem::take(&mut self.resend) && !self.outgoing.is_empty() {
            self.send_data(0, self.mss, out);
        }
        loop {
            let unsent = self.outgoing.len() - self.sent();
            let n = self.may_send(unsent);
            if n == 0 || out.room() == 0 {
                break;
            }
            let n = self.send_data(self.sent(), n, out);
            self.advance(n as u32);
        }
        let all_sent = self.sent() == self.outgoing.len();
        if self.host_fin && all_sent && self.in_flight() as usize == self.outgoing.len() && !self.fin_acked {
            self.send_fin(out);
            self.advance(1);
        }
        if self.ack_due {
            self.acknowledge(out);
        }
        let waits = self.snd_una != self.snd_max || !self.outgoing.is_empty() && self.window == 0;
        if waits && self.timer.is_none() {
            self.timer = Some(now + self.rto);
        }
    }

    fn advance(&mut self, n: u32) {
        self.snd_nxt = self.snd_nxt.wrapping_add(n);
        if before(self.snd_max, self.snd_nxt) {
            self.snd_max = self.snd_nxt;
        }
    }

    /// The timer has run out.
    pub fn timeout(&mut self, out: &Out, now: Instant) -> Verdict {
        self.timer = None;
        if self.state == State::Lingering {
            return Verdict::Gone;
        }
        if self.state == State::Open && self.snd_una == self.snd_max && self.outgoing.is_empty() {
            return Verdict::Keep;
        }
        // A guest that takes no frames at all (stopped, slow) is not to blame.
        if out.room() > 0 {
            self.tries += 1;
        }
        if self.tries > TRIES || self.tries > 6 && self.state != State::Open {
            self.stream.abort();
            self.send_reset(out);
            return Verdict::Gone;
        }
        self.timer = Some(now + self.rto);
        self.rto = (self.rto * 2).min(RTO_MAX);
        match self.state {
            State::SynReceived | State::SynSent => self.send_syn(out),
            State::Open if self.window == 0 && !self.outgoing.is_empty() => {
                // A probe of one byte makes the guest say its window.
                self.send_data(0, 1, out);
                if self.snd_nxt == self.snd_una {
                    self.advance(1);
                }
            }
            State::Open => self.snd_nxt = self.snd_una, // all over again
            State::Connecting | State::Lingering => {}
        }
        Verdict::Keep
    }
}
