//! A tap interface of the host (Linux Documentation/networking/tuntap.rst). It must be there and be ours to use:
//! `ip tuntap add dev NAME mode tap user USER`.
#![allow(unsafe_code)]

use super::{BackEnd, Cable};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// Frames, without a header of four bytes in front.
const IFF_TAP_NO_PI: u16 = 0x1002;
/// `_IOW('T', 202, int)`.
const TUNSETIFF: rustix::ioctl::Opcode = 0x4004_54ca;

/// `struct ifreq` as TUNSETIFF takes it.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// A tap interface.
pub struct Tap {
    file: File,
    readable: bool,
}

impl Tap {
    /// Opens the interface called `name`.
    pub fn open(name: &str) -> Result<Tap, String> {
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(nonblocking)
            .open("/dev/net/tun")
            .map_err(|e| format!("tap: /dev/net/tun: {e}"))?;
        let mut request = Request { name: [0; 16], flags: IFF_TAP_NO_PI, rest: [0; 22] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: TUNSETIFF reads a `struct ifreq` of 40 bytes, which `Request` is, and keeps no pointer to it.
        let set = unsafe {
            let call = rustix::ioctl::Setter::<TUNSETIFF, Request>::new(request);
            rustix::ioctl::ioctl(&file, call)
        };
        set.map_err(|e| format!("tap: {name}: {e}: it must be there, and be yours to use"))?;
        Ok(Tap { file, readable: true })
    }
}

impl BackEnd for Tap {
    fn register(&mut self, registry: &Registry) -> std::io::Result<()> {
        registry.register(&mut SourceFd(&self.file.as_raw_fd()), Token(1), Interest::READABLE)
    }

    fn guest_sent(&mut self, frame: &[u8], _cable: &Cable) {
        // An interface that is down or full loses frames.
        let _ = self.file.write(frame);
    }

    fn ready(&mut self, event: &Event, _registry: &Registry) {
        self.readable |= event.is_readable();
    }

    fn work(&mut self, cable: &Cable, _registry: &Registry, _now: Instant) -> Option<Duration> {
        let mut frame = [0; 4096];
        while self.readable && cable.room() > 0 {
            match self.file.read(&mut frame) {
                Ok(n) => cable.send(frame[..n].to_vec()),
                Err(_) => self.readable = false,
            }
        }
        None
    }
}
