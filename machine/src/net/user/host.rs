//! The host's network as the router uses it: a trait, so that tests and fuzzers can be the world, and the system's own sockets.

use super::slots::{Slot, Slots};
use crate::config::UserNet;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

/// What a token stands for.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Tcp,
    Udp,
    Echo,
    Forward,
}

/// The token of the `n`th flow of a class. 0 to 3 are never used.
pub fn token(class: Class, n: usize) -> usize {
    n.wrapping_add(1) << 2 | class as usize
}

/// What a token stands for.
pub fn class(token: usize) -> Class {
    [Class::Tcp, Class::Udp, Class::Echo, Class::Forward][token & 3]
}

/// A TCP connection of the host's. Never blocks.
pub trait Stream: Send {
    /// Whether the connection stands. An error: it never will, or no more.
    fn connected(&mut self) -> io::Result<bool>;
    /// Reads; 0 is the peer's end.
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize>;
    /// Writes.
    fn write(&mut self, from: &[u8]) -> io::Result<usize>;
    /// Nothing more will be written.
    fn finish(&mut self);
    /// Makes dropping it a reset for the peer.
    fn abort(&mut self);
}

/// A connected datagram socket of the host's. Never blocks.
pub trait Datagram: Send {
    /// Sends one.
    fn send(&mut self, data: &[u8]) -> io::Result<usize>;
    /// Receives one.
    fn recv(&mut self, to: &mut [u8]) -> io::Result<usize>;
}

/// The host. Each socket reports under its token.
pub trait Host: Send {
    /// Where what was opened before is registered, and all that comes.
    fn register(&mut self, registry: &Registry) -> io::Result<()>;
    /// Begins to connect.
    fn connect(&mut self, token: usize, to: SocketAddr) -> io::Result<Box<dyn Stream>>;
    /// A datagram socket to `to`.
    fn datagram(&mut self, token: usize, to: SocketAddr) -> io::Result<Box<dyn Datagram>>;
    /// An ICMP echo socket to `to`.
    fn echo(&mut self, token: usize, to: Ipv4Addr) -> io::Result<Box<dyn Datagram>>;
    /// The next connection to forwarded port `n`, to report under `token`.
    fn accept(&mut self, n: usize, token: usize) -> io::Result<(Box<dyn Stream>, SocketAddr)>;
    /// The next datagram at forwarded port `n`.
    fn forward_recv(&mut self, n: usize, to: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// Sends from forwarded port `n`.
    fn forward_send(&mut self, n: usize, to: SocketAddr, data: &[u8]) -> io::Result<usize>;
    /// The name server that the host asks.
    fn resolver(&self) -> Option<SocketAddr>;
}

enum Forward {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// The system's sockets.
pub struct System {
    registry: Option<Registry>,
    forwards: Vec<Forward>,
    resolver: Option<SocketAddr>,
    slots: Slots,
}

impl System {
    /// Opens the forwarded ports.
    pub fn open(config: &UserNet) -> Result<System, String> {
        let mut forwards = Vec::new();
        for f in &config.forwards {
            let opened = if f.udp {
                UdpSocket::bind(f.host).map(Forward::Udp)
            } else {
                TcpListener::bind(f.host).map(Forward::Tcp)
            };
            forwards.push(opened.map_err(|e| format!("forward: {}: {e}", f.host))?);
        }
        Ok(System { registry: None, forwards, resolver: resolver(), slots: Slots::new() })
    }

    fn watch(&self, source: &mut dyn SourceDyn, token: usize, interest: Interest) -> io::Result<()> {
        match &self.registry {
            Some(registry) => source.register_at(registry, Token(token), interest),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// [`Source`] behind a reference.
trait SourceDyn {
    fn register_at(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()>;
}

impl<T: Source> SourceDyn for T {
    fn register_at(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        registry.register(self, token, interest)
    }
}

/// The first name server of /etc/resolv.conf (resolv.conf(5)).
fn resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let servers = text.lines().filter_map(|l| l.trim().strip_prefix("nameserver"));
    let address = |s: &str| s.split('%').next().and_then(|s| s.trim().parse::<IpAddr>().ok());
    servers.filter_map(address).next().map(|a| SocketAddr::new(a, 53))
}

impl Host for System {
    fn register(&mut self, registry: &Registry) -> io::Result<()> {
        self.registry = Some(registry.try_clone()?);
        for (n, forward) in self.forwards.iter_mut().enumerate() {
            let token = Token(token(Class::Forward, n));
            match forward {
                Forward::Tcp(l) => registry.register(l, token, Interest::READABLE)?,
                Forward::Udp(s) => registry.register(s, token, Interest::READABLE)?,
            }
        }
        Ok(())
    }

    fn connect(&mut self, token: usize, to: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let slot = self.slots.take()?;
        let mut stream = TcpStream::connect(to)?;
        self.watch(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Box::new(Connection { stream, stands: false, _slot: slot }))
    }

    fn datagram(&mut self, token: usize, to: SocketAddr) -> io::Result<Box<dyn Datagram>> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let slot = self.slots.take()?;
        let mut socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(to)?;
        self.watch(&mut socket, token, Interest::READABLE)?;
        Ok(Box::new(Connected { socket, _slot: slot }))
    }

    #[cfg(target_os = "linux")]
    fn echo(&mut self, token: usize, to: Ipv4Addr) -> io::Result<Box<dyn Datagram>> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
        let slot = self.slots.take()?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd =
            rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, Some(ipproto::ICMP))?;
        rustix::net::connect(&fd, &std::net::SocketAddrV4::new(to, 0))?;
        // Not UDP, but the same calls.
        let mut socket = UdpSocket::from_std(std::net::UdpSocket::from(fd));
        self.watch(&mut socket, token, Interest::READABLE)?;
        Ok(Box::new(Connected { socket, _slot: slot }))
    }

    #[cfg(not(target_os = "linux"))]
    fn echo(&mut self, _token: usize, _to: Ipv4Addr) -> io::Result<Box<dyn Datagram>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn accept(&mut self, n: usize, token: usize) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
        let Some(Forward::Tcp(listener)) = self.forwards.get(n) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let slot = self.slots.take()?;
        let (mut stream, peer) = listener.accept()?;
        let _ = stream.set_nodelay(true);
        self.watch(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok((Box::new(Connection { stream, stands: true, _slot: slot }), peer))
    }

    fn forward_recv(&mut self, n: usize, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.forwards.get(n) {
            Some(Forward::Udp(socket)) => socket.recv_from(to),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn forward_send(&mut self, n: usize, to: SocketAddr, data: &[u8]) -> io::Result<usize> {
        match self.forwards.get(n) {
            Some(Forward::Udp(socket)) => socket.send_to(data, to),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn resolver(&self) -> Option<SocketAddr> {
        self.resolver
    }
}

struct Connection {
    stream: TcpStream,
    stands: bool,
    _slot: Slot,
}

impl Stream for Connection {
    fn connected(&mut self) -> io::Result<bool> {
        if !self.stands {
            if let Some(e) = self.stream.take_error()? {
                return Err(e);
            }
            self.stands = match self.stream.peer_addr() {
                Ok(_) => {
                    let _ = self.stream.set_nodelay(true);
                    true
                }
                Err(e) if e.kind() == io::ErrorKind::NotConnected => false,
                Err(e) => return Err(e),
            };
        }
        Ok(self.stands)
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.stream.read(to)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.write(from)
    }

    fn finish(&mut self) {
        // If the connection is gone already, reading says so.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn abort(&mut self) {
        #[cfg(unix)]
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(std::time::Duration::ZERO));
    }
}

struct Connected {
    socket: UdpSocket,
    _slot: Slot,
}

impl Datagram for Connected {
    fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        self.socket.send(data)
    }

    fn recv(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(to)
    }
}
