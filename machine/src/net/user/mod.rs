//! `user`: a router in this process, needing no privileges. The guest sees a network of its own, 10.0.2.0/24, with a gateway,
//! a DHCP and boot server (10.0.2.2) and a name server (10.0.2.3); it gets 10.0.2.15. What it sends to the world ends here, at
//! the router's own TCP, and goes on over ordinary sockets of the host; what they bring goes the other way.
//!
//! - [`wire`] makes and takes apart frames (`smoltcp`'s formats);
//! - [`dhcp`], [`dns`], [`tftp`], [`echo`] are small servers; [`udp`] and [`tcp`] hold the flows;
//! - [`host`] is all that touches the host's network, behind a trait: tests and fuzzers put another one there.
//!
//! The guest is not trusted: every table has a limit, every frame is checked, and nothing that it sends reaches the host's own
//! loopback unless `host=on` says so.

mod dhcp;
mod dns;
mod echo;
mod frames;
pub mod host;
mod slots;
mod tcp;
mod tftp;
mod udp;
mod wire;

use super::{BackEnd, Cable, Say};
use crate::config::UserNet;
use host::Host;
use mio::Registry;
use mio::event::Event;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

/// The gateway, which is also the DHCP, boot and TFTP server.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The name server.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The first guest's address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The router's own card.
const MAC: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
/// Neighbours whose cards are remembered.
const NEIGHBOURS: usize = 64;

/// Where frames for the guest go.
pub trait Outlet {
    /// Frames that fit now without piling up.
    fn room(&self) -> usize;
    /// Sends a frame.
    fn send(&self, frame: Vec<u8>);
}

impl Outlet for Cable {
    fn room(&self) -> usize {
        Cable::room(self)
    }
    fn send(&self, frame: Vec<u8>) {
        Cable::send(self, frame);
    }
}

/// Who is there on the guest's side.
#[derive(Default)]
struct Neighbours {
    cards: HashMap<Ipv4Addr, [u8; 6]>,
}

impl Neighbours {
    fn learn(&mut self, address: Ipv4Addr, mac: [u8; 6]) {
        let ours = ours(address) && address != GATEWAY && address != DNS;
        if ours && mac[0] & 1 == 0 && (self.cards.len() < NEIGHBOURS || self.cards.contains_key(&address)) {
            self.cards.insert(address, mac);
        }
    }
}

/// Whether an address is one of the guest's network.
fn ours(address: Ipv4Addr) -> bool {
    address.octets()[..3] == GATEWAY.octets()[..3]
}

/// The guest's side: where frames go, and to whom.
struct Side<'a> {
    outlet: &'a dyn Outlet,
    neighbours: &'a Neighbours,
}

impl Side<'_> {
    fn room(&self) -> usize {
        self.outlet.room()
    }

    /// Sends an IPv4 packet. A neighbour whose card is not known is asked for; the packet is lost, as others do it too.
    fn send(&self, to: Ipv4Addr, make: impl FnOnce([u8; 6]) -> Vec<u8>) {
        match self.neighbours.cards.get(&to) {
            Some(mac) => self.outlet.send(make(*mac)),
            None if to == Ipv4Addr::BROADCAST => self.outlet.send(make([0xff; 6])),
            None => self.outlet.send(wire::arp_question(MAC, GATEWAY, to)),
        }
    }
}

/// What the router knows of the outside.
struct Outside {
    host: Box<dyn Host>,
    config: UserNet,
    say: Say,
    said: Vec<&'static str>,
}

impl Outside {
    /// Where a destination of the guest's really is; `None`: nowhere that it may reach.
    fn route(&self, to: SocketAddrV4) -> Option<SocketAddr> {
        let address = *to.ip();
        if self.config.restrict {
            return None;
        }
        if address == GATEWAY {
            return self.config.host.then(|| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), to.port()));
        }
        if address == DNS {
            let server = self.host.resolver()?;
            return (to.port() == 53).then_some(server);
        }
        let nobody = ours(address)
            || address.is_loopback()
            || address.is_multicast()
            || address.is_broadcast()
            || address.octets()[0] == 0
            || address.octets()[0] >= 240;
        (!nobody && to.port() != 0).then(|| to.into())
    }

    /// Tells the user something once.
    fn say_once(&mut self, what: &'static str) {
        if !self.said.contains(&what) {
            self.said.push(what);
            (self.say)(what);
        }
    }
}

/// The router.
pub struct Router {
    outside: Outside,
    neighbours: Neighbours,
    dhcp: dhcp::Server,
    tftp: tftp::Server,
    udp: udp::Flows,
    echo: echo::Flows,
    tcp: tcp::Flows,
}

impl Router {
    /// The router on this host. Forwarded ports are opened at once.
    pub fn open(config: &UserNet, say: &Say) -> Result<Router, String> {
        let host = host::System::open(config)?;
        Ok(Router::new(config, Box::new(host), say.clone()))
    }

    /// The router on any host.
    pub fn new(config: &UserNet, host: Box<dyn Host>, say: Say) -> Router {
        Router {
            outside: Outside { host, config: config.clone(), say, said: Vec::new() },
            neighbours: Neighbours::default(),
            dhcp: dhcp::Server::new(config.bootfile.clone()),
            tftp: tftp::Server::new(config.tftp.clone()),
            udp: udp::Flows::default(),
            echo: echo::Flows::default(),
            tcp: tcp::Flows::default(),
        }
    }

    /// A frame from the guest.
    pub fn frame(&mut self, frame: &[u8], outlet: &dyn Outlet, now: Instant) {
        if let Some(taken) = frames::take(frame) {
            self.packet(&taken, outlet, now);
        }
    }

    /// Sends what flows have, as far as there is room; when to come again at the latest.
    pub fn turn(&mut self, outlet: &dyn Outlet, now: Instant) -> Option<Duration> {
        let side = Side { outlet, neighbours: &self.neighbours };
        self.tcp.accept(&mut self.outside, guest(&self.neighbours), now);
        let waits = [
            self.tcp.work(&side, now),
            self.udp.work(&side, &mut self.outside, now),
            self.echo.work(&side, now),
            self.tftp.work(&side, now),
        ];
        waits.into_iter().flatten().min()
    }

    /// A socket of the host's is ready.
    pub fn socket_ready(&mut self, token: usize, readable: bool, writable: bool) {
        match host::class(token) {
            host::Class::Tcp => self.tcp.ready(token, readable, writable),
            host::Class::Udp => self.udp.ready(token),
            host::Class::Echo => self.echo.ready(token),
            host::Class::Forward => {
                self.tcp.knock();
                self.udp.knock();
            }
        }
    }

    /// Flows of all kinds.
    pub fn flows(&self) -> usize {
        self.tcp.len() + self.udp.len() + self.echo.len()
    }

    /// Bytes that wait in flows.
    pub fn buffered(&self) -> usize {
        self.tcp.buffered()
    }
}

/// The guest that forwards lead to: the first address, or whoever else is there.
fn guest(neighbours: &Neighbours) -> Ipv4Addr {
    if neighbours.cards.contains_key(&GUEST) {
        return GUEST;
    }
    neighbours.cards.keys().min().copied().unwrap_or(GUEST)
}

impl BackEnd for Router {
    fn register(&mut self, registry: &Registry) -> io::Result<()> {
        self.outside.host.register(registry)
    }

    fn guest_sent(&mut self, frame: &[u8], cable: &Cable) {
        self.frame(frame, cable, Instant::now());
    }

    fn ready(&mut self, event: &Event, _registry: &Registry) {
        let ended = event.is_read_closed() || event.is_error();
        self.socket_ready(
            event.token().0,
            event.is_readable() || ended,
            event.is_writable() || event.is_error(),
        );
    }

    fn work(&mut self, cable: &Cable, _registry: &Registry, now: Instant) -> Option<Duration> {
        self.turn(cable, now)
    }
}
