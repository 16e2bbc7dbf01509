//! `ping` beyond the gateway: echo requests through the host's unprivileged ICMP sockets (Linux: net.ipv4.ping_group_range).
//! Where the host doesn't let us, the guest is told that the way is prohibited, and the user is told once.

use super::host::{self, Datagram};
use super::wire::{self, Message, Why};
use super::{Outside, Side};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Pings at once; beyond, the oldest ends.
const FLOWS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(30);

struct Flow {
    token: usize,
    socket: Box<dyn Datagram>,
    ident: u16,
    readable: bool,
    active: Instant,
}

/// Guest, destination, identifier.
type Key = (Ipv4Addr, Ipv4Addr, u16);

/// All pings underway.
#[derive(Default)]
pub struct Flows {
    flows: HashMap<Key, Flow>,
    tokens: usize,
}

impl Flows {
    /// How many.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// A socket can be read.
    pub fn ready(&mut self, token: usize) {
        self.flows.values_mut().filter(|f| f.token == token).for_each(|f| f.readable = true);
    }

    /// Sends a request on; why not, if not.
    pub fn send(
        &mut self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        request: &Message,
        outside: &mut Outside,
        now: Instant,
    ) -> Option<Why> {
        // Any port: only the address matters.
        if outside.route(SocketAddrV4::new(to, 7)).is_none() {
            return Some(if super::ours(to) { Why::Host } else { Why::Prohibited });
        }
        let key = (from, to, request.ident);
        if !self.flows.contains_key(&key) {
            self.tokens = self.tokens.wrapping_add(1);
            let token = host::token(host::Class::Echo, self.tokens);
            let Ok(socket) = outside.host.echo(token, to) else {
                outside.say_once(
                    "net: this host lets no one ping without privileges (net.ipv4.ping_group_range): \
                     pings beyond the gateway are answered as prohibited",
                );
                return Some(Why::Prohibited);
            };
            self.make_room();
            let flow = Flow { token, socket, ident: request.ident, readable: false, active: now };
            self.flows.insert(key, flow);
        }
        let flow = self.flows.get_mut(&key)?;
        flow.active = now;
        let mut bytes = vec![8, 0, 0, 0];
        bytes.extend(request.ident.to_be_bytes());
        bytes.extend(request.seq_no.to_be_bytes());
        bytes.extend(request.data);
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        flow.socket.send(&bytes).err().map(|_| Why::Network)
    }

    fn make_room(&mut self) {
        if self.flows.len() >= FLOWS
            && let Some(oldest) = self.flows.iter().min_by_key(|f| f.1.active).map(|f| *f.0)
        {
            self.flows.remove(&oldest);
        }
    }

    /// Hands answers on.
    pub fn work(&mut self, side: &Side, now: Instant) -> Option<Duration> {
        let mut buffer = [0; 2048];
        for ((from, to, _), flow) in self.flows.iter_mut().filter(|f| f.1.readable) {
            while let Ok(n) = flow.socket.recv(&mut buffer) {
                // Type, code, checksum, identifier (the host's own), sequence, data.
                if n >= 8 && buffer[0] == 0 {
                    let seq_no = u16::from_be_bytes([buffer[6], buffer[7]]);
                    let m = Message { ident: flow.ident, seq_no, data: &buffer[8..n] };
                    side.send(*from, |mac| wire::echo_reply(mac, *to, *from, &m));
                }
            }
            flow.readable = false;
        }
        self.flows.retain(|_, f| now.saturating_duration_since(f.active) < PATIENCE);
        (!self.flows.is_empty()).then_some(PATIENCE)
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b)));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}
