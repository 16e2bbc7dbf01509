//! The network: any accesses and frames at the card; at the router frames of all protocols that it knows, whole and damaged,
//! with a world behind it that does anything. Nothing may panic, and what is kept stays bounded.

use super::{Finding, Round};
use crate::rng::Rng;
use crate::wire::{self, DNS, GATEWAY, MAC, Segment, udp};
use lucid86_devices::net::NetworkCard;
use lucid86_devices::net::ne2000::{Ne2000, RAM};
use lucid86_devices::{Ctx, Dma, Host as ChipHost, Medium, Ports, Time, Width};
use lucid86_machine::config::UserNet;
use lucid86_machine::net::user::host::{Datagram, Host, Stream};
use lucid86_machine::net::user::{Outlet, Router};
use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More than any limit of the router's on flows together.
const FLOWS: usize = 20_000;
/// What flows may keep together, and one connection's worth.
const BUFFERED: usize = (192 << 20) + (1 << 20);

struct Nothing;

impl Dma for Nothing {
    fn read(&mut self, _addr: u64, _to: &mut [u8]) {}
    fn write(&mut self, _addr: u64, _from: &[u8]) {}
}

impl ChipHost for Nothing {
    fn serial_out(&mut self, _port: usize, _byte: u8) {}
    fn parallel_out(&mut self, _port: usize, _byte: u8) {}
    fn debug_out(&mut self, _byte: u8) {}
    fn medium(&mut self, _slot: usize) -> Option<&mut dyn Medium> {
        None
    }
}

fn pick(r: &mut Rng, n: u64) -> u64 {
    r.bits() % n.max(1)
}

fn noise(r: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| r.bits() as u8).collect()
}

/// The card by its ports, with frames in between.
pub fn card() -> Round {
    Box::new(|r| {
        let mut card = if r.bits() & 1 == 0 { Ne2000::isa(0, MAC, RAM) } else { Ne2000::pci(0, MAC, 0) };
        for _ in 0..2000 {
            let mut nothing = (Nothing, Nothing);
            let ctx = &mut Ctx { now: Time(0), dma: &mut nothing.0, host: &mut nothing.1 };
            let offset = pick(r, 32) as u16;
            let width = [Width::Byte, Width::Byte, Width::Word, Width::Dword][pick(r, 4) as usize];
            match pick(r, 8) {
                0 | 1 => _ = card.read(ctx, offset, width),
                2..=4 => card.write(ctx, offset, width, r.bits() as u32),
                // Commands as drivers give them, so that it runs at all.
                5 => {
                    card.write(ctx, 0, Width::Byte, [0x21, 0x22, 0x0a, 0x12, 0x1a, 0x26][pick(r, 6) as usize])
                }
                6 => {
                    let mut row = vec![0; pick(r, 600) as usize];
                    let wide = [2, 4][pick(r, 2) as usize];
                    if card.is_row(16, wide) {
                        card.read_row(&mut row, wide);
                        card.write_row(&row, wide);
                    }
                }
                _ => {
                    let len = pick(r, 1600) as usize;
                    card.receive(&noise(r, len));
                }
            }
            let _ = (card.irq(), card.ready(), card.acknowledged());
        }
        None
    })
}

/// A world that does anything.
struct World {
    rng: Rng,
}

impl World {
    fn fork(&mut self) -> Rng {
        Rng::new(self.rng.bits())
    }
}

struct Thing(Rng);

fn result(r: &mut Rng, len: usize) -> io::Result<usize> {
    match pick(r, 12) {
        0 => Err(ErrorKind::ConnectionReset.into()),
        1 => Err(ErrorKind::ConnectionRefused.into()),
        2 => Ok(0),
        3..=7 => Ok(1 + pick(r, len.max(1) as u64) as usize).map(|n| n.min(len)),
        _ => Err(ErrorKind::WouldBlock.into()),
    }
}

impl Stream for Thing {
    fn connected(&mut self) -> io::Result<bool> {
        result(&mut self.0, 1).map(|n| n > 0)
    }
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        result(&mut self.0, to.len())
    }
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        result(&mut self.0, from.len())
    }
    fn finish(&mut self) {}
    fn abort(&mut self) {}
}

impl Datagram for Thing {
    fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        result(&mut self.0, data.len())
    }
    fn recv(&mut self, to: &mut [u8]) -> io::Result<usize> {
        result(&mut self.0, to.len().min(3000))
    }
}

impl Host for World {
    fn register(&mut self, _registry: &lucid86_machine::net::Registry) -> io::Result<()> {
        Ok(())
    }
    fn connect(&mut self, _token: usize, _to: SocketAddr) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Thing(self.fork())))
    }
    fn datagram(&mut self, _token: usize, _to: SocketAddr) -> io::Result<Box<dyn Datagram>> {
        Ok(Box::new(Thing(self.fork())))
    }
    fn echo(&mut self, _token: usize, _to: Ipv4Addr) -> io::Result<Box<dyn Datagram>> {
        if self.rng.bits() & 1 == 0 {
            return Err(ErrorKind::PermissionDenied.into());
        }
        Ok(Box::new(Thing(self.fork())))
    }
    fn accept(&mut self, _n: usize, _token: usize) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
        if pick(&mut self.rng, 3) > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let port = self.rng.bits() as u16;
        Ok((Box::new(Thing(self.fork())), SocketAddr::from(([127, 0, 0, 1], port))))
    }
    fn forward_recv(&mut self, _n: usize, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        if pick(&mut self.rng, 3) > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok((pick(&mut self.rng, to.len().min(9000) as u64) as usize, SocketAddr::from(([127, 0, 0, 1], 9))))
    }
    fn forward_send(&mut self, _n: usize, _to: SocketAddr, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }
    fn resolver(&self) -> Option<SocketAddr> {
        Some(SocketAddr::from(([127, 0, 0, 53], 53)))
    }
}

struct Wire {
    room: Cell<usize>,
    longest: Cell<usize>,
}

impl Outlet for Wire {
    fn room(&self) -> usize {
        self.room.get()
    }
    fn send(&self, frame: Vec<u8>) {
        self.room.set(self.room.get().saturating_sub(1));
        self.longest.set(self.longest.get().max(frame.len()));
    }
}

/// One datagram in the middle of a DHCP exchange.
fn dhcp(r: &mut Rng) -> Vec<u8> {
    let more = pick(r, 60) as usize;
    let mut m = wire::dhcp(pick(r, 10) as u8, &noise(r, more));
    if r.bits() & 7 == 0 {
        m[30] = r.bits() as u8;
    }
    for _ in 0..pick(r, 4) {
        let at = pick(r, m.len() as u64) as usize;
        m[at] = r.bits() as u8;
    }
    udp([255; 4], (68, 67), &m)
}

/// A query: a header, names with lengths and pointers that may be wrong.
fn dns(r: &mut Rng) -> Vec<u8> {
    let mut m = vec![r.bits() as u8, 1, pick(r, 2) as u8 * 128, 0, 0, pick(r, 3) as u8, 0, 0, 0, 0, 0, 0];
    for _ in 0..pick(r, 6) {
        let n = pick(r, 70) as usize;
        m.push(if r.bits() & 7 == 0 { r.bits() as u8 } else { n as u8 });
        m.extend(noise(r, n));
    }
    m.extend([0, 0, 1, 0, 1]);
    m.truncate(if r.bits() & 3 == 0 { pick(r, m.len() as u64 + 1) as usize } else { m.len() });
    udp(DNS, (1024 + pick(r, 2000) as u16, if r.bits() & 15 == 0 { 54 } else { 53 }), &m)
}

/// A request for a file that is there, or something at a transfer's port.
fn tftp(r: &mut Rng) -> Vec<u8> {
    let n = pick(r, 80) as usize;
    let guest = 69 + pick(r, 50) as u16;
    if r.bits() & 3 == 0 {
        let sizes = ["8", "512", "1468", "65464", "0", "-1", "99999999999999999999"];
        let mut words = [&[0, 1 + pick(r, 2) as u8][..], b"file\0octet\0"].concat();
        for name in ["blksize", "windowsize", "tsize", "timeout"] {
            if r.bits() & 1 == 0 {
                let value = sizes[pick(r, sizes.len() as u64) as usize];
                words.extend(format!("{name}\0{value}\0").bytes());
            }
        }
        let cut = if r.bits() & 3 == 0 { pick(r, words.len() as u64 + 1) as usize } else { words.len() };
        words.truncate(cut);
        return udp(GATEWAY, (guest, 69), &words);
    }
    let operation = [3, 4, 4, 4, 5, r.bits() as u8][pick(r, 6) as usize];
    let block = if r.bits() & 3 == 0 { r.bits() as u16 } else { pick(r, 40) as u16 };
    let data = [&[0, operation][..], &block.to_be_bytes(), &noise(r, n)].concat();
    udp(GATEWAY, (guest, 50_000 + pick(r, 60) as u16), &data)
}

fn tcp(r: &mut Rng) -> Vec<u8> {
    let to = [GATEWAY, [1, 2, 3, 4], [127, 0, 0, 1], DNS][pick(r, 4) as usize];
    let (options, data) = (4 * pick(r, 4) as usize, pick(r, 200) as usize);
    let segment = Segment {
        ports: (1000 + pick(r, 40) as u16, 80 + pick(r, 3) as u16),
        seq: if r.bits() & 1 == 0 { pick(r, 5000) as u32 } else { r.bits() as u32 },
        ack: r.bits() as u32,
        flags: [2, 16, 24, 17, 4, 18, r.bits() as u8][pick(r, 7) as usize],
        window: r.bits() as u16,
        options: noise(r, options),
        data: noise(r, data),
    };
    segment.frame(to)
}

fn any(r: &mut Rng) -> Vec<u8> {
    let n = pick(r, 80) as usize;
    let data = noise(r, n);
    match pick(r, 10) {
        0 => dhcp(r),
        1 => dns(r),
        2 => tftp(r),
        3 => {
            let kind = [1, 6, 17, r.bits() as u8][pick(r, 4) as usize];
            let fragment = [r.bits() as u8, r.bits() as u8];
            wire::piece([9, 9, 9, 9], kind, fragment, &data)
        }
        4 => udp([9, 9, 9, pick(r, 3) as u8], (r.bits() as u16, 7), &data),
        5 => wire::ping([9, 9, 9, 9], pick(r, 200) as u16, &data),
        6 => data,
        _ => tcp(r),
    }
}

/// A frame, now and then damaged.
fn frame(r: &mut Rng, make: fn(&mut Rng) -> Vec<u8>) -> Vec<u8> {
    let mut f = make(r);
    match pick(r, 6) {
        0 => f.truncate(pick(r, f.len() as u64 + 1) as usize),
        1 if !f.is_empty() => {
            let at = pick(r, f.len() as u64) as usize;
            f[at] = r.bits() as u8;
        }
        _ => {}
    }
    f
}

/// The router, frames and all that the world may do; of one protocol only if `name` is one.
pub fn router(name: &str) -> Result<Round, String> {
    let make = match name {
        "dhcp" => dhcp,
        "dns" => dns,
        "tftp" => tftp,
        _ => any,
    };
    let folder = std::env::temp_dir().join(format!("lucid86-fuzz-{}", std::process::id()));
    let file = folder.join("file");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(file, [7; 40_000]))
        .map_err(|e| e.to_string())?;
    Ok(Box::new(move |r| {
        let mut config = UserNet { host: true, tftp: Some(folder.clone()), ..UserNet::default() };
        config.bootfile = (r.bits() & 1 == 0).then(|| "boot".repeat(1 + pick(r, 31) as usize));
        for udp in [false, true] {
            let host = SocketAddr::from(([127, 0, 0, 1], 1));
            config.forwards.push(lucid86_machine::config::Forward { udp, host, guest_port: 80 });
        }
        let world = Box::new(World { rng: Rng::new(r.bits()) });
        let mut router = Router::new(&config, world, Arc::new(|_: &str| {}));
        let wire = Wire { room: Cell::new(64), longest: Cell::new(0) };
        let mut now = Instant::now();
        // Whoever sends IPv4 has been heard of.
        router.frame(&wire::arp(GATEWAY), &wire, now);
        for _ in 0..400 {
            match pick(r, 8) {
                0 => {
                    now += Duration::from_millis(pick(r, 3000));
                    wire.room.set(pick(r, 100) as usize);
                    router.turn(&wire, now);
                }
                1 => {
                    let token = pick(r, 400) as usize;
                    router.socket_ready(token, r.bits() & 1 == 0, r.bits() & 1 == 0);
                }
                _ => router.frame(&frame(r, make), &wire, now),
            }
        }
        check(&router, &wire)
    }))
}

fn check(router: &Router, wire: &Wire) -> Finding {
    if router.flows() > FLOWS || router.buffered() > BUFFERED {
        return Some(format!("{} flows keep {} bytes", router.flows(), router.buffered()));
    }
    (wire.longest.get() > 1514).then(|| format!("a frame of {} bytes", wire.longest.get()))
}
