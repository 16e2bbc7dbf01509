//! TCP: all connections between guest and world. Each is two connections that meet here: the guest's, with the router's own
//! endpoint ([`endpoint`]), and one of the host's sockets.

pub mod endpoint;

use super::host::{self, Class};
use super::udp::shown;
use super::{Outside, Side, wire};
use endpoint::{Endpoint, Segment, Verdict};
use smoltcp::wire::{TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Connections at once. Beyond, new ones are refused.
const FLOWS: usize = 16_384;
/// Bytes that wait in all connections together before each gets little: at most 8 KiB then, and so at most 192 MiB in all.
const PLENTY: usize = 64 << 20;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Connections that one round accepts.
const ACCEPTS: usize = 64;

/// The two ends of a connection, as the guest sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The guest's.
    pub guest: SocketAddrV4,
    /// The other.
    pub remote: SocketAddrV4,
}

/// What goes to the guest.
pub struct Out<'a> {
    key: Key,
    side: &'a Side<'a>,
}

impl Out<'_> {
    /// Frames that fit.
    pub fn room(&self) -> usize {
        self.side.room()
    }

    /// Sends a segment; ports are filled in.
    pub fn send(&self, mut repr: TcpRepr) {
        repr.src_port = self.key.remote.port();
        repr.dst_port = self.key.guest.port();
        let (from, to) = (*self.key.remote.ip(), *self.key.guest.ip());
        self.side.send(to, |mac| wire::tcp(mac, from, to, &repr));
    }
}

/// A segment with nothing in it.
pub fn bare(control: TcpControl, seq: u32, ack: Option<u32>) -> TcpRepr<'static> {
    TcpRepr {
        src_port: 0,
        dst_port: 0,
        control,
        seq_number: TcpSeqNumber(seq as i32),
        ack_number: ack.map(|a| TcpSeqNumber(a as i32)),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

struct Flow {
    token: usize,
    end: Endpoint,
    queued: bool,
}

/// All connections.
#[derive(Default)]
pub struct Flows {
    flows: HashMap<Key, Flow>,
    by_token: HashMap<usize, Key>,
    work: VecDeque<Key>,
    tokens: usize,
    knocked: bool,
    /// The host could not hand over who is at a forwarded port: too many files are open, most likely.
    later: bool,
    /// Whether any connection waits for its timer.
    timed: bool,
    buffered: usize,
    last_tick: Option<Instant>,
}

impl Flows {
    /// How many.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Bytes that wait in them.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// A socket is ready.
    pub fn ready(&mut self, token: usize, readable: bool, writable: bool) {
        if let Some(key) = self.by_token.get(&token).copied()
            && let Some(flow) = self.flows.get_mut(&key)
        {
            flow.end.ready(readable, writable);
            self.queue(key);
        }
    }

    /// Someone is at a forwarded port.
    pub fn knock(&mut self) {
        self.knocked = true;
    }

    fn queue(&mut self, key: Key) {
        if let Some(flow) = self.flows.get_mut(&key)
            && !flow.queued
        {
            flow.queued = true;
            self.work.push_back(key);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(flow) = self.flows.remove(key) {
            self.by_token.remove(&flow.token);
            self.buffered = self.buffered.saturating_sub(flow.end.buffered());
        }
    }

    fn insert(&mut self, key: Key, token: usize, end: Endpoint) {
        self.flows.insert(key, Flow { token, end, queued: false });
        self.by_token.insert(token, key);
        self.queue(key);
    }

    fn token(&mut self) -> usize {
        self.tokens = self.tokens.wrapping_add(1);
        host::token(Class::Tcp, self.tokens)
    }

    /// A first sequence number that is hard to guess from outside (RFC 6528 asks for no more here: the guest is the only one
    /// who could, and it knows).
    fn initial(&self, now: Instant) -> u32 {
        let ticks = self.last_tick.map_or(0, |t| now.saturating_duration_since(t).subsec_nanos());
        (self.tokens as u32).wrapping_mul(0x9e37_79b9) ^ ticks
    }

    /// A segment from the guest.
    pub fn segment(
        &mut self,
        key: Key,
        packet: &TcpPacket<&[u8]>,
        side: &Side,
        outside: &mut Outside,
        now: Instant,
    ) {
        let Some(segment) = Segment::from(packet) else { return };
        let out = Out { key, side };
        if let Some(flow) = self.flows.get_mut(&key) {
            let before = flow.end.buffered();
            flow.end.set_scarce(self.buffered > PLENTY);
            let verdict = flow.end.segment(&segment, &out, now);
            self.buffered = (self.buffered + flow.end.buffered()).saturating_sub(before);
            match verdict {
                Verdict::Keep => return self.queue(key),
                Verdict::Gone => return self.remove(&key),
                Verdict::Again => self.remove(&key),
            }
        }
        if segment.opens() {
            self.open(key, &segment, &out, outside, now);
        } else if !segment.rst {
            refuse(&segment, &out);
        }
    }

    /// The guest connects.
    fn open(&mut self, key: Key, segment: &Segment, out: &Out, outside: &mut Outside, now: Instant) {
        let route = outside.route(key.remote).filter(|_| self.flows.len() < FLOWS);
        let token = self.token();
        let stream = route.map(|to| outside.host.connect(token, to));
        match stream {
            Some(Ok(stream)) => {
                let end = Endpoint::accepting(stream, segment, self.initial(now));
                self.insert(key, token, end);
            }
            _ => refuse(segment, out),
        }
    }

    /// Takes in who is at the forwarded ports.
    pub(super) fn accept(&mut self, outside: &mut Outside, guest: Ipv4Addr, now: Instant) {
        if !std::mem::take(&mut self.knocked) {
            return;
        }
        self.later = false;
        for n in 0..outside.config.forwards.len() {
            let forward = outside.config.forwards[n];
            for _ in 0..ACCEPTS {
                let token = self.token();
                let (stream, peer) = match outside.host.accept(n, token) {
                    Ok(accepted) => accepted,
                    Err(e) => {
                        self.later |= e.kind() != std::io::ErrorKind::WouldBlock;
                        break;
                    }
                };
                let guest = SocketAddrV4::new(guest, forward.guest_port);
                let key = Key { guest, remote: SocketAddrV4::new(shown(peer), peer.port()) };
                // Dropped, and closed with it, if there are too many or one between the same ends.
                if self.flows.len() < FLOWS && !self.flows.contains_key(&key) {
                    let end = Endpoint::calling(stream, self.initial(now), now);
                    self.insert(key, token, end);
                }
                self.knocked = true; // there may be more
            }
        }
    }

    /// Moves bytes, as far as there is room, and looks at timers.
    pub fn work(&mut self, side: &Side, now: Instant) -> Option<Duration> {
        for _ in 0..self.work.len() {
            let Some(key) = self.work.pop_front() else { break };
            self.pump(key, side, now);
        }
        self.tick(side, now);
        if self.knocked {
            return Some(Duration::ZERO);
        }
        // What waits for room is woken when there is some.
        (self.timed || self.later).then_some(TICK)
    }

    fn pump(&mut self, key: Key, side: &Side, now: Instant) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.queued = false;
        let before = flow.end.buffered();
        let out = Out { key, side };
        flow.end.set_scarce(self.buffered > PLENTY);
        let verdict = flow.end.pump(&out, now);
        let more = flow.end.wants_more();
        self.timed |= flow.end.timer().is_some();
        self.buffered = (self.buffered + flow.end.buffered()).saturating_sub(before);
        match verdict {
            Verdict::Keep if more => self.queue(key),
            Verdict::Keep => {}
            _ => self.remove(&key),
        }
    }

    fn tick(&mut self, side: &Side, now: Instant) {
        if self.last_tick.is_some_and(|t| now.saturating_duration_since(t) < TICK) {
            return;
        }
        self.last_tick = Some(now);
        self.knocked |= self.later;
        let due: Vec<Key> = self
            .flows
            .iter()
            .filter(|(_, f)| f.end.timer().is_some_and(|t| t <= now))
            .map(|(k, _)| *k)
            .collect();
        for key in due {
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            match flow.end.timeout(&Out { key, side }, now) {
                Verdict::Keep => self.queue(key),
                _ => self.remove(&key),
            }
        }
        self.flows.values_mut().for_each(|f| f.end.shrink());
        self.timed = self.flows.values().any(|f| f.end.timer().is_some());
    }
}

/// Nothing is there (RFC 9293, 3.10.7.1).
fn refuse(segment: &Segment, out: &Out) {
    out.send(match segment.ack {
        Some(ack) => bare(TcpControl::Rst, ack, None),
        None => bare(TcpControl::Rst, 0, Some(segment.seq.wrapping_add(segment.length()))),
    });
}
