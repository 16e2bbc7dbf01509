//! What lies on the far side of the board's connectors: outputs that wait to be taken at the slice boundary, and the media
//! in the drives. Not part of the saved state.

use lucid86_cpu::Memory;
use lucid86_cpu::memory::PAGE;
use lucid86_devices::{Dma, Host, Medium, VideoMemory};

use crate::config::SERIAL_PORTS;
use crate::media::Image;
use crate::net::Plug;

/// Number of media slots: four IDE drives, two floppies.
pub const SLOTS: usize = 6;
/// Media slot of the first floppy.
pub const FLOPPY_SLOT: usize = 4;

/// The outside.
#[derive(Default)]
pub struct Outside {
    /// What left the serial ports.
    pub serial: [Vec<u8>; SERIAL_PORTS],
    /// What left the parallel port.
    pub parallel: Vec<u8>,
    /// What left the debug console.
    pub debug: Vec<u8>,
    /// What is in the drives.
    pub media: [Option<Image>; SLOTS],
    /// Cables in the network cards.
    pub cables: Vec<Option<Plug>>,
    /// Where frames are recorded.
    pub dump: Option<crate::net::Dump>,
    /// In the past: what leaves a card has left before.
    pub muted: bool,
    /// Virtual time as of the last access to a chip, for the record.
    pub now_ns: u64,
    /// Whether anything was put out since this was last cleared.
    pub wrote: bool,
}

/// Output that waits for the slice boundary.
#[derive(Default)]
pub struct Waiting {
    serial: [Vec<u8>; SERIAL_PORTS],
    parallel: Vec<u8>,
    debug: Vec<u8>,
}

/// Output that waits for the slice boundary ends the slice when it is this long.
pub const OUTPUT_LIMIT: usize = 4096;

impl Outside {
    /// Takes output that waits away.
    pub fn take_output(&mut self) -> Waiting {
        self.wrote = false;
        Waiting {
            serial: std::mem::take(&mut self.serial),
            parallel: std::mem::take(&mut self.parallel),
            debug: std::mem::take(&mut self.debug),
        }
    }

    /// This output waits, and no other.
    pub fn put_output(&mut self, w: Waiting) {
        (self.serial, self.parallel, self.debug) = (w.serial, w.parallel, w.debug);
        self.wrote = self.is_full(0);
    }

    /// Whether frames have come that the machine has not taken yet.
    pub fn packets_arrived(&self) -> bool {
        self.cables.iter().flatten().any(Plug::has_news)
    }

    /// Whether more than `limit` bytes wait.
    pub fn is_full(&self, limit: usize) -> bool {
        self.serial.iter().chain([&self.parallel, &self.debug]).any(|b| b.len() > limit)
    }
}

impl Host for Outside {
    fn serial_out(&mut self, port: usize, byte: u8) {
        if let Some(out) = self.serial.get_mut(port) {
            out.push(byte);
            self.wrote = true;
        }
    }

    fn parallel_out(&mut self, _port: usize, byte: u8) {
        self.parallel.push(byte);
        self.wrote = true;
    }

    fn debug_out(&mut self, byte: u8) {
        self.debug.push(byte);
        self.wrote = true;
    }

    fn packet_out(&mut self, card: usize, frame: &[u8]) {
        if self.muted {
            return;
        }
        if let Some(dump) = &mut self.dump {
            dump.frame(card, self.now_ns, true, frame);
        }
        if let Some(Some(plug)) = self.cables.get(card) {
            plug.send(frame);
        }
    }

    fn medium(&mut self, slot: usize) -> Option<&mut dyn Medium> {
        match self.media.get_mut(slot) {
            Some(Some(m)) => Some(m),
            _ => None,
        }
    }
}

/// Guest memory as bus masters reach it.
pub struct Bus<'a>(pub &'a mut Memory);

impl Dma for Bus<'_> {
    fn read(&mut self, addr: u64, to: &mut [u8]) {
        self.0.read_physical(addr, to);
    }
    fn write(&mut self, addr: u64, from: &[u8]) {
        self.0.write_physical(addr, from);
    }
}

/// Video memory: frames of the one allocation, from `first` on.
pub struct VideoFrames<'a> {
    /// Guest memory.
    pub mem: &'a mut Memory,
    /// First frame.
    pub first: u32,
    /// Number of frames.
    pub frames: u32,
}

impl VideoFrames<'_> {
    fn at(&self, offset: usize) -> usize {
        self.first as usize * PAGE as usize + offset
    }
}

impl VideoMemory for VideoFrames<'_> {
    fn len(&self) -> usize {
        self.frames as usize * PAGE as usize
    }

    fn get(&self, offset: usize) -> u8 {
        if offset < self.len() { self.mem.ram.read(self.at(offset)) } else { 0xff }
    }

    fn four(&self, offset: usize) -> u32 {
        if offset + 3 < self.len() { self.mem.ram.read(self.at(offset)) } else { !0 }
    }

    fn set(&mut self, offset: usize, value: u8) {
        if offset < self.len() {
            let frame = self.first + (offset / PAGE as usize) as u32;
            self.mem.store_word(frame, offset % PAGE as usize, value);
        }
    }

    fn set_word(&mut self, offset: usize, value: u16) {
        if offset & 1 == 0 && offset + 1 < self.len() {
            let frame = self.first + (offset / PAGE as usize) as u32;
            self.mem.store_word(frame, offset % PAGE as usize, value);
        }
    }

    fn read(&self, offset: usize, to: &mut [u8]) {
        let n = to.len().min(self.len().saturating_sub(offset));
        self.mem.ram.copy_out(self.at(offset.min(self.len())), &mut to[..n]);
        to[n..].fill(0xff);
    }
}

/// Video memory to look at only.
pub struct VideoView<'a> {
    /// Guest memory.
    pub mem: &'a Memory,
    /// First frame.
    pub first: u32,
    /// Number of frames.
    pub frames: u32,
}

impl VideoMemory for VideoView<'_> {
    fn len(&self) -> usize {
        self.frames as usize * PAGE as usize
    }

    fn get(&self, offset: usize) -> u8 {
        if offset < self.len() {
            self.mem.ram.read(self.first as usize * PAGE as usize + offset)
        } else {
            0xff
        }
    }

    fn set(&mut self, _offset: usize, _value: u8) {}

    fn read(&self, offset: usize, to: &mut [u8]) {
        let n = to.len().min(self.len().saturating_sub(offset));
        let from = self.first as usize * PAGE as usize + offset.min(self.len());
        self.mem.ram.copy_out(from, &mut to[..n]);
        to[n..].fill(0xff);
    }
}
