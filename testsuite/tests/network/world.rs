//! A world behind the router that does what a test says, and the guest's end of the cable.

use lucid86_machine::config::UserNet;
use lucid86_machine::net::Registry;
use lucid86_machine::net::user::host::{Datagram, Host, Stream};
use lucid86_machine::net::user::{Outlet, Router};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use testsuite::wire::{self, GATEWAY, Seen};

/// What the world's sockets do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// What is sent comes back.
    #[default]
    Echo,
    /// Bytes without end.
    Endless,
    /// Takes nothing, says nothing.
    Deaf,
    /// A connection never comes to stand.
    Silent,
}

/// What the world has seen, and what waits in it.
#[derive(Default)]
pub struct State {
    pub manner: Manner,
    pub connects: Vec<SocketAddr>,
    pub datagrams: Vec<SocketAddr>,
    pub echoes: Vec<Ipv4Addr>,
    pub written: Vec<u8>,
    pub finished: usize,
    pub aborted: usize,
    /// Datagrams that come to the forwarded port, and go out of it.
    pub knocking: VecDeque<(Vec<u8>, SocketAddr)>,
    pub forwarded: Vec<(Vec<u8>, SocketAddr)>,
    pub may_ping: bool,
    pub resolver: Option<SocketAddr>,
}

#[derive(Clone, Default)]
pub struct World(Arc<Mutex<State>>);

impl World {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

struct Thing {
    world: World,
    waiting: VecDeque<Vec<u8>>,
}

impl Thing {
    fn take(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let manner = self.world.state().manner;
        if manner == Manner::Endless {
            to.fill(b'x');
            return Ok(to.len());
        }
        let next = self.waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        let n = next.len().min(to.len());
        to[..n].copy_from_slice(&next[..n]);
        if n < next.len() {
            self.waiting.push_front(next[n..].to_vec());
        }
        Ok(n)
    }

    fn give(&mut self, from: &[u8]) -> io::Result<usize> {
        let mut state = self.world.state();
        match state.manner {
            Manner::Echo => self.waiting.push_back(from.to_vec()),
            Manner::Deaf => return Err(ErrorKind::WouldBlock.into()),
            _ => {}
        }
        state.written.extend(from);
        Ok(from.len())
    }
}

impl Stream for Thing {
    fn connected(&mut self) -> io::Result<bool> {
        Ok(self.world.state().manner != Manner::Silent)
    }
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.take(to)
    }
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.give(from)
    }
    fn finish(&mut self) {
        self.world.state().finished += 1;
    }
    fn abort(&mut self) {
        self.world.state().aborted += 1;
    }
}

impl Datagram for Thing {
    fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        self.give(data)
    }
    fn recv(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.take(&mut to[..1000])
    }
}

impl World {
    fn thing(&self) -> Thing {
        Thing { world: self.clone(), waiting: VecDeque::new() }
    }
}

impl Host for World {
    fn register(&mut self, _registry: &Registry) -> io::Result<()> {
        Ok(())
    }
    fn connect(&mut self, _token: usize, to: SocketAddr) -> io::Result<Box<dyn Stream>> {
        self.state().connects.push(to);
        Ok(Box::new(self.thing()))
    }
    fn datagram(&mut self, _token: usize, to: SocketAddr) -> io::Result<Box<dyn Datagram>> {
        self.state().datagrams.push(to);
        Ok(Box::new(self.thing()))
    }
    fn echo(&mut self, _token: usize, to: Ipv4Addr) -> io::Result<Box<dyn Datagram>> {
        if !self.state().may_ping {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.state().echoes.push(to);
        Ok(Box::new(self.thing()))
    }
    fn accept(&mut self, _n: usize, _token: usize) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
        Err(ErrorKind::WouldBlock.into())
    }
    fn forward_recv(&mut self, _n: usize, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (data, from) = self.state().knocking.pop_front().ok_or(ErrorKind::WouldBlock)?;
        to[..data.len()].copy_from_slice(&data);
        Ok((data.len(), from))
    }
    fn forward_send(&mut self, _n: usize, to: SocketAddr, data: &[u8]) -> io::Result<usize> {
        self.state().forwarded.push((data.to_vec(), to));
        Ok(data.len())
    }
    fn resolver(&self) -> Option<SocketAddr> {
        self.state().resolver
    }
}

/// The guest's end of the cable.
#[derive(Default)]
pub struct Wire {
    pub room: Cell<usize>,
    pub frames: RefCell<Vec<Vec<u8>>>,
    pub count: Cell<usize>,
}

impl Outlet for Wire {
    fn room(&self) -> usize {
        self.room.get()
    }
    fn send(&self, frame: Vec<u8>) {
        self.room.set(self.room.get().saturating_sub(1));
        self.count.set(self.count.get() + 1);
        if self.frames.borrow().len() < 4096 {
            self.frames.borrow_mut().push(frame);
        }
    }
}

/// A router with a guest whose address it knows.
pub struct Net {
    pub world: World,
    pub router: Router,
    pub wire: Wire,
    pub now: Instant,
    pub said: Arc<Mutex<Vec<String>>>,
}

impl Net {
    pub fn new(config: &UserNet) -> Net {
        let (world, said) = (World::default(), Arc::new(Mutex::new(Vec::new())));
        let heard = Arc::clone(&said);
        let say = move |line: &str| heard.lock().unwrap().push(line.to_owned());
        let router = Router::new(config, Box::new(world.clone()), Arc::new(say));
        let mut net = Net { world, router, wire: Wire::default(), now: Instant::now(), said };
        let answer = net.send(&wire::arp(GATEWAY));
        assert_eq!(answer[0][12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 2], "an ARP reply");
        net
    }

    /// Sends a frame; what comes back at once and in the round after it.
    pub fn send(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.wire.room.set(1000);
        self.wire.frames.borrow_mut().clear();
        self.router.frame(frame, &self.wire, self.now);
        self.router.turn(&self.wire, self.now);
        self.wire.frames.take()
    }

    /// The same, taken apart.
    pub fn ask(&mut self, frame: &[u8]) -> Vec<Seen> {
        self.send(frame).iter().map(|f| Seen::of(f).expect("an IPv4 packet with right checksums")).collect()
    }

    /// Time passes; what comes then.
    pub fn pass(&mut self, time: Duration) -> Vec<Seen> {
        self.wire.room.set(100_000);
        self.wire.frames.borrow_mut().clear();
        self.now += time;
        self.router.turn(&self.wire, self.now);
        self.wire.frames.take().iter().filter_map(|f| Seen::of(f)).collect()
    }
}
