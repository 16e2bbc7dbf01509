//! A small machine for tests: RAM, media in slots, a clock.

use crate::{Ctx, Dma, Host, Medium, Time};
use std::io::{Error, Result};

pub(crate) struct Ram(pub Vec<u8>);

impl Ram {
    pub fn new(bytes: usize) -> Ram {
        Ram(vec![0; bytes])
    }
}

impl Dma for Ram {
    fn read(&mut self, addr: u64, to: &mut [u8]) {
        for (i, b) in to.iter_mut().enumerate() {
            *b = self.0.get(addr as usize + i).copied().unwrap_or(0xff);
        }
    }
    fn write(&mut self, addr: u64, from: &[u8]) {
        for (i, &b) in from.iter().enumerate() {
            if let Some(to) = self.0.get_mut(addr as usize + i) {
                *to = b;
            }
        }
    }
}

pub(crate) struct Image {
    pub bytes: Vec<u8>,
    pub read_only: bool,
    pub bad: Option<u64>, // the byte that can't be read or written
    pub flushes: usize,
}

impl Image {
    pub fn new(bytes: Vec<u8>) -> Image {
        Image { bytes, read_only: false, bad: None, flushes: 0 }
    }

    fn range(&self, offset: u64, len: usize) -> Result<std::ops::Range<usize>> {
        let range = offset as usize..offset as usize + len;
        if range.end > self.bytes.len() || self.bad.is_some_and(|b| range.contains(&(b as usize))) {
            return Err(Error::other("bad"));
        }
        Ok(range)
    }
}

impl Medium for Image {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_only(&self) -> bool {
        self.read_only
    }
    fn read(&mut self, offset: u64, to: &mut [u8]) -> Result<()> {
        to.copy_from_slice(&self.bytes[self.range(offset, to.len())?]);
        Ok(())
    }
    fn write(&mut self, offset: u64, from: &[u8]) -> Result<()> {
        let range = self.range(offset, from.len())?;
        self.bytes[range].copy_from_slice(from);
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        self.flushes += 1;
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Media(pub [Option<Image>; 6]);

impl Host for Media {
    fn serial_out(&mut self, _: usize, _: u8) {}
    fn parallel_out(&mut self, _: usize, _: u8) {}
    fn debug_out(&mut self, _: u8) {}
    fn medium(&mut self, slot: usize) -> Option<&mut dyn Medium> {
        self.0[slot].as_mut().map(|m| m as &mut dyn Medium)
    }
}

pub(crate) struct World {
    pub now: Time,
    pub ram: Ram,
    pub media: Media,
}

impl World {
    pub fn new() -> World {
        World { now: Time(0), ram: Ram::new(4 << 20), media: Media::default() }
    }

    pub fn ctx(&mut self) -> Ctx<'_> {
        Ctx { now: self.now, dma: &mut self.ram, host: &mut self.media }
    }
}

/// A small generator of test bytes (xorshift64*).
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }
}
