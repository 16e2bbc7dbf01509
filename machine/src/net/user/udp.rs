//! UDP. Each pair of a guest's port and a destination has a connected socket of the host's, so that nobody else can answer.
//! Ports forwarded to the guest show their peers at the gateway's address, or at their own if that is not loopback.

use super::host::{self, Datagram as Socket};
use super::wire::{self, Why};
use super::{DNS, GATEWAY, Outside, Side, dns, guest};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Flows at once; beyond, the one that was silent longest ends.
const FLOWS: usize = 1024;
/// Silence after which a flow is over.
const PATIENCE: Duration = Duration::from_secs(120);
/// A name server answers or doesn't.
const DNS_PATIENCE: Duration = Duration::from_secs(15);
const LONGEST: usize = 0x1_0000;
/// How often it is looked whether a flow is over.
const LOOK: Duration = Duration::from_secs(1);

/// A datagram of the guest's.
pub struct Datagram<'a> {
    pub guest: SocketAddrV4,
    pub remote: SocketAddrV4,
    pub data: &'a [u8],
}

enum Far {
    /// A socket of the host's, connected.
    Socket(usize, Box<dyn Socket>),
    /// A peer of forwarded port `n`.
    Forward(usize, SocketAddr),
}

struct Flow {
    far: Far,
    readable: bool,
    active: Instant,
    patience: Duration,
}

/// All flows, by the guest's end and the other as the guest sees it.
#[derive(Default)]
pub struct Flows {
    flows: HashMap<(SocketAddrV4, SocketAddrV4), Flow>,
    by_token: HashMap<usize, (SocketAddrV4, SocketAddrV4)>,
    tokens: usize,
    knocked: bool,
    ready: Vec<usize>,
    looked: Option<Instant>,
}

impl Flows {
    /// How many.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// A socket can be read.
    pub fn ready(&mut self, token: usize) {
        if let Some(flow) = self.by_token.get(&token).and_then(|k| self.flows.get_mut(k)) {
            if !flow.readable {
                self.ready.push(token);
            }
            flow.readable = true;
        }
    }

    /// A forwarded port can be read.
    pub fn knock(&mut self) {
        self.knocked = true;
    }

    /// Sends a datagram on; why not, if not.
    pub fn send(&mut self, d: &Datagram, side: &Side, outside: &mut Outside, now: Instant) -> Option<Why> {
        let key = (d.guest, d.remote);
        let name = *d.remote.ip() == DNS;
        if name && (d.remote.port() != 53 || !dns::is_query(d.data)) {
            return Some(Why::Port);
        }
        if !self.flows.contains_key(&key) {
            let Some(to) = outside.route(d.remote) else { return self.no_route(d, side, outside) };
            self.tokens = self.tokens.wrapping_add(1);
            let token = host::token(host::Class::Udp, self.tokens);
            let Ok(socket) = outside.host.datagram(token, to) else { return Some(Why::Network) };
            let patience = if d.remote.port() == 53 { DNS_PATIENCE } else { PATIENCE };
            self.insert(
                key,
                Flow { far: Far::Socket(token, socket), readable: false, active: now, patience },
            );
            self.by_token.insert(token, key);
        }
        let flow = self.flows.get_mut(&key)?;
        flow.active = now;
        let sent = match &mut flow.far {
            Far::Socket(_, socket) => socket.send(d.data),
            Far::Forward(n, peer) => outside.host.forward_send(*n, *peer, d.data),
        };
        match sent {
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => Some(Why::Port),
            _ => None, // lost, as datagrams may be
        }
    }

    /// Nowhere to go: a query is answered with a failure, anything else as unreachable.
    fn no_route(&self, d: &Datagram, side: &Side, outside: &mut Outside) -> Option<Why> {
        let broadcast = d.remote.ip().is_broadcast() || d.remote.ip().is_multicast();
        let own_broadcast = super::ours(*d.remote.ip()) && d.remote.ip().octets()[3] == 255;
        if broadcast || own_broadcast {
            return None;
        }
        if *d.remote.ip() != DNS {
            return Some(if *d.remote.ip() == GATEWAY { Why::Port } else { Why::Prohibited });
        }
        if !outside.config.restrict {
            outside.say_once("net: this host has no name server that is known here: names are not found");
        }
        let answer = dns::failure(d.data)?;
        deliver(d.guest, d.remote, &answer, side);
        None
    }

    fn insert(&mut self, key: (SocketAddrV4, SocketAddrV4), flow: Flow) {
        if self.flows.len() >= FLOWS
            && let Some(oldest) = self.flows.iter().min_by_key(|f| f.1.active).map(|f| *f.0)
        {
            self.remove(&oldest);
        }
        self.flows.insert(key, flow);
    }

    fn remove(&mut self, key: &(SocketAddrV4, SocketAddrV4)) {
        if let Some(Flow { far: Far::Socket(token, _), .. }) = self.flows.remove(key) {
            self.by_token.remove(&token);
        }
    }

    /// Hands answers on, as far as there is room, and ends what is over.
    pub fn work(&mut self, side: &Side, outside: &mut Outside, now: Instant) -> Option<Duration> {
        let mut buffer = vec![0; if self.ready.is_empty() && !self.knocked { 0 } else { LONGEST }];
        let mut still = Vec::new();
        for token in std::mem::take(&mut self.ready) {
            let Some(key) = self.by_token.get(&token).copied() else { continue };
            if !self.answers(&key, &mut buffer, side, now) {
                still.push(token);
            }
        }
        self.ready = still;
        if self.knocked {
            self.knocked = !self.forwarded(&mut buffer, side, outside, now);
        }
        if self.looked.is_none_or(|t| now.saturating_duration_since(t) >= LOOK) {
            self.looked = Some(now);
            self.end(now);
        }
        (!self.flows.is_empty()).then_some(DNS_PATIENCE)
    }

    /// Ends flows that were silent for long.
    fn end(&mut self, now: Instant) {
        let over = |f: &Flow| now.saturating_duration_since(f.active) > f.patience;
        let over: Vec<_> = self.flows.iter().filter(|(_, f)| over(f)).map(|f| *f.0).collect();
        over.iter().for_each(|key| self.remove(key));
    }

    /// Reads one flow's socket; whether it is empty.
    fn answers(
        &mut self,
        key: &(SocketAddrV4, SocketAddrV4),
        buffer: &mut [u8],
        side: &Side,
        now: Instant,
    ) -> bool {
        let Some(flow) = self.flows.get_mut(key) else { return true };
        let Far::Socket(_, socket) = &mut flow.far else { return true };
        while side.room() > 0 {
            match socket.recv(buffer) {
                Ok(n) => {
                    flow.active = now;
                    deliver(key.0, key.1, &buffer[..n], side);
                }
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                    // The host was told that nobody listens there; so is the guest, about what it sent.
                    refused(key, side);
                }
                Err(_) => {
                    flow.readable = false;
                    return true;
                }
            }
        }
        false
    }

    /// Reads the forwarded ports; whether they are empty.
    fn forwarded(&mut self, buffer: &mut [u8], side: &Side, outside: &mut Outside, now: Instant) -> bool {
        let to = guest(side.neighbours);
        for n in 0..outside.config.forwards.len() {
            let forward = outside.config.forwards[n];
            if !forward.udp {
                continue;
            }
            loop {
                if side.room() == 0 {
                    return false;
                }
                let Ok((len, peer)) = outside.host.forward_recv(n, buffer) else { break };
                let near = SocketAddrV4::new(to, forward.guest_port);
                let far = SocketAddrV4::new(shown(peer), peer.port());
                if let Some(flow) = self.flows.get_mut(&(near, far)) {
                    flow.active = now;
                } else {
                    let far_end = Far::Forward(n, peer);
                    self.insert(
                        (near, far),
                        Flow { far: far_end, readable: false, active: now, patience: PATIENCE },
                    );
                }
                deliver(near, far, &buffer[..len], side);
            }
        }
        true
    }
}

/// The address at which the guest sees a peer of a forwarded port.
pub fn shown(peer: SocketAddr) -> Ipv4Addr {
    match peer {
        SocketAddr::V4(a) if !a.ip().is_loopback() && !super::ours(*a.ip()) => *a.ip(),
        _ => GATEWAY,
    }
}

fn deliver(guest: SocketAddrV4, remote: SocketAddrV4, data: &[u8], side: &Side) {
    match side.neighbours.cards.get(guest.ip()) {
        Some(mac) => wire::udp(*mac, remote, guest, data).into_iter().for_each(|f| side.outlet.send(f)),
        None => side.outlet.send(wire::arp_question(super::MAC, GATEWAY, *guest.ip())),
    }
}

/// Port unreachable, about a datagram of the guest's that is long gone: its headers are made again.
fn refused(key: &(SocketAddrV4, SocketAddrV4), side: &Side) {
    let frame = wire::udp([0; 6], key.0, key.1, &[]).pop().unwrap_or_default();
    wire::unreachable(side, *key.0.ip(), Why::Port, frame.get(14..42).unwrap_or_default());
}
