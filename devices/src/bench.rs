//! What the chips' own tests plug a chip into: a little memory and a host that remembers what it was given.

use crate::{Ctx, Dma, Host, Medium, Ports, Time, Width};

pub(crate) struct Memory(pub Vec<u8>);

impl Dma for Memory {
    fn read(&mut self, addr: u64, to: &mut [u8]) {
        for (i, byte) in to.iter_mut().enumerate() {
            *byte = self.0.get(addr.wrapping_add(i as u64) as usize).copied().unwrap_or(0xFF);
        }
    }

    fn write(&mut self, addr: u64, from: &[u8]) {
        for (i, byte) in from.iter().enumerate() {
            if let Some(cell) = self.0.get_mut(addr.wrapping_add(i as u64) as usize) {
                *cell = *byte;
            }
        }
    }
}

#[derive(Default)]
pub(crate) struct Outside {
    pub serial: Vec<u8>,
    pub parallel: Vec<u8>,
    pub debug: Vec<u8>,
    pub packets: Vec<Vec<u8>>,
}

impl Host for Outside {
    fn serial_out(&mut self, _port: usize, byte: u8) {
        self.serial.push(byte);
    }

    fn parallel_out(&mut self, _port: usize, byte: u8) {
        self.parallel.push(byte);
    }

    fn debug_out(&mut self, byte: u8) {
        self.debug.push(byte);
    }

    fn packet_out(&mut self, _card: usize, frame: &[u8]) {
        self.packets.push(frame.to_vec());
    }

    fn medium(&mut self, _slot: usize) -> Option<&mut dyn Medium> {
        None
    }
}

/// A workbench: the current time, 64 KiB or more of memory, and an outside.
pub(crate) struct Bench {
    pub now: Time,
    pub memory: Memory,
    pub outside: Outside,
}

impl Bench {
    pub fn new() -> Self {
        Bench { now: Time(0), memory: Memory(vec![0; 0x40000]), outside: Outside::default() }
    }

    pub fn ctx(&mut self) -> Ctx<'_> {
        Ctx { now: self.now, dma: &mut self.memory, host: &mut self.outside }
    }

    pub fn pass(&mut self, ns: u64) {
        self.now.0 += ns;
    }

    #[allow(dead_code)]
    pub fn inb(&mut self, chip: &mut impl Ports, offset: u16) -> u8 {
        chip.read(&mut self.ctx(), offset, Width::Byte) as u8
    }

    pub fn outb(&mut self, chip: &mut impl Ports, offset: u16, value: u8) {
        chip.write(&mut self.ctx(), offset, Width::Byte, value.into());
    }
}
