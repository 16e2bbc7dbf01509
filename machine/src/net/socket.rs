//! A cable to another emulator: each frame behind its length in four bytes, most significant first, over a TCP or unix stream;
//! or each frame a datagram. QEMU's `-netdev socket`, `stream` and `dgram` speak the same.

use super::{BackEnd, Cable, Say};
use crate::config::{SocketNet, SocketPlace};
use mio::event::{Event, Source};
use mio::net::{TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

const LISTENER: Token = Token(1);
const PEER: Token = Token(2);
/// Longest frame that a peer may announce: what QEMU sends at most.
const LONGEST: usize = 68 << 10;
/// Bytes that wait for a peer that reads slowly; frames beyond are lost.
const WAITING: usize = 256 << 10;
/// Between two tries to reach a peer.
const RETRY: Duration = Duration::from_millis(500);

/// A stream in both directions that is waited for.
trait Stream: Read + Write + Source + Send {}
impl<T: Read + Write + Source + Send> Stream for T {}

enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, std::path::PathBuf),
}

impl Listener {
    fn bind(place: &SocketPlace) -> Result<Listener, String> {
        match place {
            SocketPlace::Tcp(a) => {
                let listener = TcpListener::bind(resolve(a)?).map_err(|e| format!("socket: {a}: {e}"))?;
                Ok(Listener::Tcp(listener))
            }
            #[cfg(unix)]
            SocketPlace::Unix(path) => {
                let listener =
                    UnixListener::bind(path).map_err(|e| format!("socket: {}: {e}", path.display()))?;
                Ok(Listener::Unix(listener, path.clone()))
            }
            #[cfg(not(unix))]
            SocketPlace::Unix(_) => Err("socket: this system has no unix sockets".into()),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Listener::Tcp(l) => l,
            #[cfg(unix)]
            Listener::Unix(l, _) => l,
        }
    }

    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Listener::Tcp(l) => no_delay(l.accept()?.0),
            #[cfg(unix)]
            Listener::Unix(l, _) => Box::new(l.accept()?.0),
        })
    }
}

#[cfg(unix)]
impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn no_delay(stream: TcpStream) -> Box<dyn Stream> {
    let _ = stream.set_nodelay(true);
    Box::new(stream)
}

fn connect(place: &SocketPlace) -> io::Result<Box<dyn Stream>> {
    match place {
        SocketPlace::Tcp(a) => {
            let address = resolve(a).map_err(io::Error::other)?;
            Ok(no_delay(TcpStream::connect(address)?))
        }
        #[cfg(unix)]
        SocketPlace::Unix(path) => Ok(Box::new(UnixStream::connect(path)?)),
        #[cfg(not(unix))]
        SocketPlace::Unix(_) => Err(ErrorKind::Unsupported.into()),
    }
}

fn resolve(address: &str) -> Result<SocketAddr, String> {
    let found = address.to_socket_addrs().ok().and_then(|mut a| a.next());
    found.ok_or_else(|| format!("socket: '{address}' is no address that can be found"))
}

/// A peer at the other end of a stream.
struct Peer {
    stream: Box<dyn Stream>,
    readable: bool,
    writable: bool,
    received: Vec<u8>,
    unsent: VecDeque<u8>,
}

impl Peer {
    fn new(mut stream: Box<dyn Stream>, registry: &Registry) -> io::Result<Peer> {
        registry.register(&mut *stream, PEER, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Peer { stream, readable: false, writable: false, received: Vec::new(), unsent: VecDeque::new() })
    }

    fn send(&mut self, frame: &[u8]) {
        if self.unsent.len() + frame.len() + 4 <= WAITING {
            self.unsent.extend((frame.len() as u32).to_be_bytes());
            self.unsent.extend(frame);
        }
    }

    /// Writes what waits. An error ends the connection.
    fn flush(&mut self) -> io::Result<()> {
        while self.writable && !self.unsent.is_empty() {
            match self.stream.write(self.unsent.as_slices().0) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => _ = self.unsent.drain(..n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads as long as the machine has room for frames.
    fn fill(&mut self, cable: &Cable) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        while self.readable && cable.room() > 0 {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.received.extend_from_slice(&buffer[..n]);
                    frames(&mut self.received, |frame| cable.send(frame.to_vec()))?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Takes whole frames from the front of `bytes`. A length that no emulator sends is an error.
pub fn frames(bytes: &mut Vec<u8>, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut at = 0;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(frame) = bytes.get(at + 4..at + 4 + length) else { break };
        take(frame);
        at += 4 + length;
    }
    bytes.drain(..at);
    Ok(())
}

enum Kind {
    Listen(Listener),
    Connect(SocketPlace, Instant),
    Udp { socket: UdpSocket, remote: SocketAddr, readable: bool },
}

/// The back end.
pub struct Socket {
    kind: Kind,
    peer: Option<Peer>,
    say: Say,
    said: bool,
}

impl Socket {
    /// Opens the listening or datagram socket; a peer to connect to is looked for later, again and again.
    pub fn open(config: &SocketNet, say: &Say) -> Result<Socket, String> {
        let kind = match config {
            SocketNet::Listen(place) => Kind::Listen(Listener::bind(place)?),
            SocketNet::Connect(place) => Kind::Connect(place.clone(), Instant::now()),
            SocketNet::Udp { remote, local } => {
                let socket = UdpSocket::bind(resolve(local)?).map_err(|e| format!("socket: {local}: {e}"))?;
                Kind::Udp { socket, remote: resolve(remote)?, readable: true }
            }
        };
        Ok(Socket { kind, peer: None, say: say.clone(), said: false })
    }

    fn accept(&mut self, registry: &Registry) {
        let Kind::Listen(listener) = &self.kind else { return };
        // One peer at a time: the one that came last.
        while let Ok(stream) = listener.accept() {
            self.peer = Peer::new(stream, registry).ok();
        }
    }

    fn reach(&mut self, registry: &Registry, now: Instant) -> Option<Duration> {
        let Kind::Connect(place, next) = &mut self.kind else { return None };
        if self.peer.is_none() && now >= *next {
            *next = now + RETRY;
            self.peer = connect(place).and_then(|s| Peer::new(s, registry)).ok();
        }
        self.peer.is_none().then(|| next.saturating_duration_since(now))
    }

    fn lost(&mut self, why: &io::Error) {
        self.peer = None;
        if !self.said {
            self.said = true;
            let waits =
                if matches!(self.kind, Kind::Listen(_)) { "waiting for another" } else { "trying again" };
            (self.say)(&format!("net: the peer is not there ({why}): {waits}"));
        }
    }
}

impl BackEnd for Socket {
    fn register(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.kind {
            Kind::Listen(l) => registry.register(l.source(), LISTENER, Interest::READABLE),
            Kind::Udp { socket, .. } => registry.register(socket, LISTENER, Interest::READABLE),
            Kind::Connect(..) => Ok(()),
        }
    }

    fn guest_sent(&mut self, frame: &[u8], _cable: &Cable) {
        match &mut self.kind {
            // Nobody at the other end: lost, as on a wire.
            Kind::Udp { socket, remote, .. } => _ = socket.send_to(frame, *remote),
            _ => self.peer.iter_mut().for_each(|p| p.send(frame)),
        }
    }

    fn ready(&mut self, event: &Event, registry: &Registry) {
        match (event.token(), &mut self.kind) {
            (LISTENER, Kind::Udp { readable, .. }) => *readable = true,
            (LISTENER, _) => self.accept(registry),
            _ => {
                if let Some(p) = &mut self.peer {
                    p.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                    p.writable |= event.is_writable();
                }
            }
        }
    }

    fn work(&mut self, cable: &Cable, registry: &Registry, now: Instant) -> Option<Duration> {
        if let Kind::Udp { socket, remote, readable } = &mut self.kind {
            let mut frame = [0; 4096];
            while *readable && cable.room() > 0 {
                match socket.recv_from(&mut frame) {
                    Ok((n, from)) if from == *remote => cable.send(frame[..n].to_vec()),
                    Ok(_) => {}
                    // Nobody listens at the other end yet: said of what was sent before, and only once.
                    Err(e) if matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
                    Err(_) => *readable = false,
                }
            }
            return None;
        }
        if let Some(p) = &mut self.peer
            && let Err(e) = p.flush().and_then(|()| p.fill(cable))
        {
            self.lost(&e);
        }
        self.reach(registry, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut all = Vec::new();
        for len in [60usize, 1514, 0, 3] {
            all.extend((len as u32).to_be_bytes());
            all.extend(vec![len as u8; len]);
        }
        let (mut bytes, mut seen) = (Vec::new(), Vec::new());
        for piece in all.chunks(7) {
            bytes.extend_from_slice(piece);
            frames(&mut bytes, |f| seen.push(f.len())).unwrap();
        }
        assert_eq!(seen, [60, 1514, 0, 3]);
        assert!(bytes.is_empty());
        let mut absurd = vec![0xff; 8];
        assert!(frames(&mut absurd, |_| panic!("no frame")).is_err());
    }
}
