//! The pair of 8237A DMA controllers, with the page registers that widen their addresses.
//!
//! Follows: Intel 8237A data sheet (231466-005); Intel 82371SB (PIIX3) for the PC's wiring: channels 0-3 move bytes,
//! 5-7 words, 4 is the cascade; EISA specification for the high page registers. A device that has bytes, or wants
//! some, asks [`DmaControllers::to_memory`] or [`DmaControllers::from_memory`] to move them: single, demand and block
//! mode differ only in who waits for the bus. Not modelled: priorities (nobody competes), compressed timing, the
//! sense of DREQ and DACK. Tests at the foot.

use crate::{Ctx, Dma, Ports, Width, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

const COMMAND_MEMORY_TO_MEMORY: u8 = 1 << 0;
const COMMAND_HOLD: u8 = 1 << 1; // channel 0 keeps its address
const COMMAND_DISABLE: u8 = 1 << 2;

const MODE_TRANSFER: u8 = 3 << 2;
const MODE_WRITE: u8 = 1 << 2; // device to memory
const MODE_READ: u8 = 2 << 2; // memory to device
const MODE_AUTOINIT: u8 = 1 << 4;
const MODE_DECREMENT: u8 = 1 << 5;
const MODE_CASCADE: u8 = 3 << 6;

/// Page register of each channel: its port minus 80h.
const PAGE_OF: [usize; 8] = [0x7, 0x3, 0x1, 0x2, 0xF, 0xB, 0x9, 0xA];

/// One channel's registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Channel {
    base_address: u16,
    base_count: u16,
    address: u16, // current
    count: u16,   // current: transfers left, minus one
    mode: u8,
}

/// One 8237A.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unit {
    channels: [Channel; 4],
    command: u8,
    terminal: u8, // status bits 3:0: terminal count reached
    requests: u8, // levels of DREQ
    software: u8, // request register
    mask: u8,
    temporary: u8,   // the last byte moved from memory to memory
    high_byte: bool, // the byte pointer flip-flop: the next access is to the upper byte
}

impl Unit {
    fn new() -> Self {
        Unit {
            channels: [Channel::default(); 4],
            command: 0,
            terminal: 0,
            requests: 0,
            software: 0,
            mask: 0xF,
            temporary: 0,
            high_byte: false,
        }
    }

    /// Reset pin and master clear: addresses, counts and modes stay.
    fn clear(&mut self) {
        *self = Unit { channels: self.channels, requests: self.requests, ..Unit::new() };
    }

    fn flip(&mut self) -> bool {
        self.high_byte = !self.high_byte;
        !self.high_byte
    }

    fn read(&mut self, register: u8) -> u8 {
        match register {
            0..8 => {
                let channel = self.channels[usize::from(register / 2)];
                let word = if register & 1 == 0 { channel.address } else { channel.count };
                word.to_le_bytes()[usize::from(self.flip())]
            }
            8 => std::mem::take(&mut self.terminal) | (self.requests | self.software) << 4,
            13 => self.temporary,
            15 => self.mask | 0xF0,
            _ => 0xFF,
        }
    }

    fn write(&mut self, register: u8, value: u8) {
        let bit = 1 << (value & 3);
        match register {
            0..8 => self.write_word(register, value),
            8 => self.command = value,
            9 if value & 4 != 0 => self.software |= bit,
            9 => self.software &= !bit,
            10 if value & 4 != 0 => self.mask |= bit,
            10 => self.mask &= !bit,
            11 => self.channels[usize::from(value & 3)].mode = value & 0xFC,
            12 => self.high_byte = false,
            13 => self.clear(),
            14 => self.mask = 0,
            15 => self.mask = value & 0xF,
            _ => {}
        }
    }

    fn write_word(&mut self, register: u8, value: u8) {
        let high = self.flip();
        let channel = &mut self.channels[usize::from(register / 2)];
        let base = if register & 1 == 0 { &mut channel.base_address } else { &mut channel.base_count };
        let mut bytes = base.to_le_bytes();
        bytes[usize::from(high)] = value;
        *base = u16::from_le_bytes(bytes);
        if register & 1 == 0 {
            channel.address = channel.base_address;
        } else {
            channel.count = channel.base_count;
        }
    }

    /// `n` (at least 1) transfers on channel `i` are done; true at the terminal count.
    fn count_down(&mut self, i: usize, n: u32) -> bool {
        let channel = &mut self.channels[i];
        let step = if channel.mode & MODE_DECREMENT != 0 { n.wrapping_neg() } else { n };
        channel.address = channel.address.wrapping_add(step as u16);
        let left = (u32::from(channel.count) + 1).saturating_sub(n);
        channel.count = left.wrapping_sub(1) as u16;
        if left != 0 {
            return false;
        }
        self.terminal |= 1 << i;
        self.software &= !(1 << i);
        if channel.mode & MODE_AUTOINIT != 0 {
            channel.address = channel.base_address;
            channel.count = channel.base_count;
        } else {
            self.mask |= 1 << i;
        }
        true
    }
}

/// What became of a device's wish to move bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes moved. Fewer than asked for at the terminal count or while the channel is masked.
    pub bytes: usize,
    /// The terminal count (TC) was reached with the last of them.
    pub terminal_count: bool,
}

/// Both controllers and the page registers.
///
/// As [`Ports`]: offsets from [`DmaControllers::FIRST`] (00h-0Fh), [`DmaControllers::SECOND`] (C0h-DFh),
/// [`DmaControllers::PAGES`] (80h-8Fh) and [`DmaControllers::HIGH_PAGES`] (480h-48Fh).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DmaControllers {
    units: [Unit; 2],
    pages: [u8; 16],      // address bits 23:16, and scratch (80h is the diagnostics port)
    high_pages: [u8; 16], // address bits 31:24
}

impl Default for DmaControllers {
    fn default() -> Self {
        Self::new()
    }
}

impl DmaControllers {
    /// Offset of ports 00h-0Fh: channels 0-3.
    pub const FIRST: u16 = 0x00;
    /// Offset of ports C0h-DFh: channels 4-7, a register at every other port.
    pub const SECOND: u16 = 0x10;
    /// Offset of ports 80h-8Fh.
    pub const PAGES: u16 = 0x30;
    /// Offset of ports 480h-48Fh.
    pub const HIGH_PAGES: u16 = 0x40;

    /// All channels masked but the cascade, which is open as firmware leaves it.
    pub fn new() -> Self {
        let mut units = [Unit::new(), Unit::new()];
        units[1].channels[0].mode = MODE_CASCADE;
        units[1].mask = 0xE;
        DmaControllers { units, pages: [0; 16], high_pages: [0; 16] }
    }

    /// Hard reset.
    pub fn reset(&mut self) {
        let requests = [0, 1].map(|i| self.units[i].requests);
        *self = Self::new();
        for (unit, requests) in self.units.iter_mut().zip(requests) {
            unit.requests = requests;
        }
    }

    /// Drives DREQ of channel `channel` (0-7): only for the status register to show.
    pub fn set_request(&mut self, channel: usize, level: bool) {
        let bit = 1 << (channel & 3);
        let requests = &mut self.units[channel >> 2 & 1].requests;
        *requests = if level { *requests | bit } else { *requests & !bit };
    }

    /// Whether channel `channel` would serve a request: enabled, unmasked, and for 0-3 the cascade as well.
    pub fn ready(&self, channel: usize) -> bool {
        let open = |channel: usize| {
            let unit = &self.units[channel >> 2 & 1];
            unit.command & COMMAND_DISABLE == 0 && unit.mask >> (channel & 3) & 1 == 0
        };
        match channel {
            0..=3 => open(channel) && open(4),
            5..=7 => open(channel),
            _ => false,
        }
    }

    /// A device on `channel` gives bytes. On channels 5-7 an odd last byte stays.
    pub fn to_memory(&mut self, memory: &mut dyn Dma, channel: usize, from: &[u8]) -> Moved {
        self.transfer(channel, from.len(), MODE_WRITE, |address, at, n| {
            memory.write(address, &from[at..at + n])
        })
    }

    /// A device on `channel` takes bytes. On channels 5-7 an odd last byte is not filled.
    pub fn from_memory(&mut self, memory: &mut dyn Dma, channel: usize, to: &mut [u8]) -> Moved {
        self.transfer(channel, to.len(), MODE_READ, |address, at, n| {
            memory.read(address, &mut to[at..at + n])
        })
    }

    /// Moves up to `len` bytes by `piece(physical address, offset, length)`. A channel that is set up for the other
    /// direction, or to verify, counts without touching memory.
    fn transfer(
        &mut self,
        channel: usize,
        len: usize,
        direction: u8,
        mut piece: impl FnMut(u64, usize, usize),
    ) -> Moved {
        if !self.ready(channel) {
            return Moved::default();
        }
        let size = if channel < 4 { 1 } else { 2 };
        let (unit, i) = (channel >> 2 & 1, channel & 3);
        let state = self.units[unit].channels[i];
        let n = (len / size).min(usize::from(state.count) + 1);
        if n == 0 {
            return Moved::default();
        }
        if state.mode & MODE_TRANSFER == direction {
            let mut done = 0;
            let mut address = state.address;
            while done < n {
                let run = match state.mode & MODE_DECREMENT {
                    0 => (n - done).min(0x1_0000 - usize::from(address)),
                    _ => 1,
                };
                piece(self.physical(channel, address), done * size, run * size);
                done += run;
                address = match state.mode & MODE_DECREMENT {
                    0 => address.wrapping_add(run as u16),
                    _ => address.wrapping_sub(1),
                };
            }
        }
        Moved { bytes: n * size, terminal_count: self.units[unit].count_down(i, n as u32) }
    }

    /// Where the current address of a channel lies in memory. The page does not count along.
    fn physical(&self, channel: usize, address: u16) -> u64 {
        let page = PAGE_OF[channel & 7];
        let high = u64::from(self.high_pages[page]) << 24;
        let page = u64::from(self.pages[page]) << 16;
        match channel {
            0..4 => high | page | u64::from(address),
            _ => high | page & !0x1_FFFF | u64::from(address) << 1,
        }
    }

    /// Channel 0 reads, channel 1 writes, until channel 1's terminal count.
    fn memory_to_memory(&mut self, memory: &mut dyn Dma) {
        let ready =
            self.units[0].command & (COMMAND_MEMORY_TO_MEMORY | COMMAND_DISABLE) == COMMAND_MEMORY_TO_MEMORY;
        if !ready || self.units[0].software & 1 == 0 {
            return;
        }
        loop {
            let [from, to] = [0, 1].map(|i| self.physical(i, self.units[0].channels[i].address));
            let mut byte = [0];
            memory.read(from, &mut byte);
            memory.write(to, &byte);
            let unit = &mut self.units[0];
            unit.temporary = byte[0];
            if unit.command & COMMAND_HOLD == 0 {
                let source = &mut unit.channels[0];
                let down = source.mode & MODE_DECREMENT != 0;
                source.address =
                    if down { source.address.wrapping_sub(1) } else { source.address.wrapping_add(1) };
            }
            unit.channels[0].count = unit.channels[0].count.wrapping_sub(1);
            if unit.count_down(1, 1) {
                unit.software &= !1;
                return;
            }
        }
    }

    fn read_port(&mut self, offset: u16) -> u8 {
        match offset {
            0x00..0x10 => self.units[0].read(offset as u8),
            0x10..0x30 => self.units[1].read(((offset - Self::SECOND) / 2) as u8),
            0x30..0x40 => self.pages[usize::from(offset & 15)],
            0x40..0x50 => self.high_pages[usize::from(offset & 15)],
            _ => 0xFF,
        }
    }

    fn write_port(&mut self, memory: &mut dyn Dma, offset: u16, value: u8) {
        match offset {
            0x00..0x10 => {
                self.units[0].write(offset as u8, value);
                if offset == 9 {
                    self.memory_to_memory(memory);
                }
            }
            0x10..0x30 => self.units[1].write(((offset - Self::SECOND) / 2) as u8, value),
            0x30..0x40 => {
                // Software that knows no high pages gets the lowest 16 MiB.
                self.pages[usize::from(offset & 15)] = value;
                self.high_pages[usize::from(offset & 15)] = 0;
            }
            0x40..0x50 => self.high_pages[usize::from(offset & 15)] = value,
            _ => {}
        }
    }
}

impl Ports for DmaControllers {
    fn read(&mut self, _ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(port))
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(ctx.dma, port, byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    struct Board {
        bench: Bench,
        dma: DmaControllers,
    }

    impl Board {
        fn new() -> Self {
            Board { bench: Bench::new(), dma: DmaControllers::new() }
        }

        fn out(&mut self, offset: u16, value: u8) {
            self.bench.outb(&mut self.dma, offset, value);
        }

        fn read(&mut self, offset: u16) -> u8 {
            self.bench.inb(&mut self.dma, offset)
        }

        fn word(&mut self, offset: u16, value: u16) {
            self.out(0x0C, 0);
            value.to_le_bytes().into_iter().for_each(|byte| self.out(offset, byte));
        }

        /// Channel 2 as a floppy driver sets it up.
        fn floppy(&mut self, mode: u8, page: u8, address: u16, bytes: u16) {
            self.out(0x0A, 6);
            self.out(0x0B, mode | 2);
            self.word(4, address);
            self.word(5, bytes - 1);
            self.out(DmaControllers::PAGES + 1, page);
            self.out(0x0A, 2);
        }
    }

    #[test]
    fn device_to_memory_until_the_terminal_count() {
        let mut board = Board::new();
        board.floppy(0x44, 1, 0x2000, 4);
        let moved = board.dma.to_memory(&mut board.bench.memory, 2, &[1, 2]);
        assert_eq!(moved, Moved { bytes: 2, terminal_count: false });
        let moved = board.dma.to_memory(&mut board.bench.memory, 2, &[3, 4, 5]);
        assert_eq!(moved, Moved { bytes: 2, terminal_count: true });
        assert_eq!(board.bench.memory.0[0x1_2000..0x1_2005], [1, 2, 3, 4, 0]);
        assert_eq!(board.read(8), 0x04);
        assert_eq!(board.read(8), 0x00, "reading clears TC");
        assert!(!board.dma.ready(2), "masked at the terminal count");
        assert_eq!(board.dma.to_memory(&mut board.bench.memory, 2, &[9]), Moved::default());
        board.out(0x0C, 0);
        assert_eq!([board.read(5), board.read(5)], [0xFF, 0xFF]);
        assert_eq!([board.read(4), board.read(4)], [0x04, 0x20]);
    }

    #[test]
    fn memory_to_device() {
        let mut board = Board::new();
        board.bench.memory.0[0x500..0x503].copy_from_slice(&[7, 8, 9]);
        board.floppy(0x48, 0, 0x500, 3);
        let mut to = [0; 5];
        let moved = board.dma.from_memory(&mut board.bench.memory, 2, &mut to);
        assert_eq!((moved.bytes, moved.terminal_count, to), (3, true, [7, 8, 9, 0, 0]));
    }

    #[test]
    fn verify_counts_without_memory() {
        let mut board = Board::new();
        board.floppy(0x40, 0, 0x500, 2);
        assert!(board.dma.to_memory(&mut board.bench.memory, 2, &[1, 2]).terminal_count);
        assert_eq!(board.bench.memory.0[0x500], 0);
    }

    #[test]
    fn autoinit_starts_over() {
        let mut board = Board::new();
        board.floppy(0x54, 0, 0x500, 2);
        for round in 0..2 {
            assert!(board.dma.to_memory(&mut board.bench.memory, 2, &[round, round]).terminal_count);
            assert_eq!(board.bench.memory.0[0x500], round);
        }
        assert!(board.dma.ready(2));
    }

    #[test]
    fn addresses_wrap_within_the_page_and_can_go_down() {
        let mut board = Board::new();
        board.floppy(0x44, 1, 0xFFFF, 2);
        board.dma.to_memory(&mut board.bench.memory, 2, &[1, 2]);
        assert_eq!((board.bench.memory.0[0x1_FFFF], board.bench.memory.0[0x1_0000]), (1, 2));
        board.floppy(0x64, 1, 0x0000, 2);
        board.dma.to_memory(&mut board.bench.memory, 2, &[3, 4]);
        assert_eq!((board.bench.memory.0[0x1_0000], board.bench.memory.0[0x1_FFFF]), (3, 4));
    }

    #[test]
    fn words_on_the_second_controller() {
        let mut board = Board::new();
        board.out(0x10 + 2 * 11, 0x45); // channel 5, single, write
        board.out(0x10 + 2 * 12, 0);
        [0x00, 0x10].into_iter().for_each(|byte| board.out(0x10 + 2 * 2, byte));
        [0x01, 0x00].into_iter().for_each(|byte| board.out(0x10 + 2 * 3, byte));
        board.out(DmaControllers::PAGES + 0xB, 0x03);
        board.out(0x10 + 2 * 10, 1);
        let moved = board.dma.to_memory(&mut board.bench.memory, 5, &[1, 2, 3, 4, 5]);
        assert_eq!(moved, Moved { bytes: 4, terminal_count: true });
        assert_eq!(board.bench.memory.0[0x2_2000..0x2_2004], [1, 2, 3, 4], "page bit 0 is not used");
    }

    #[test]
    fn high_pages_follow_low_ones() {
        let mut board = Board::new();
        board.out(DmaControllers::PAGES + 1, 0x12);
        board.out(DmaControllers::HIGH_PAGES + 1, 0x34);
        assert_eq!(board.dma.physical(2, 0x5678), 0x3412_5678);
        board.out(DmaControllers::PAGES + 1, 0x12);
        assert_eq!(board.dma.physical(2, 0x5678), 0x0012_5678);
    }

    #[test]
    fn the_cascade_gates_the_first_controller() {
        let mut board = Board::new();
        board.floppy(0x44, 0, 0x500, 2);
        board.out(0x10 + 2 * 10, 4);
        assert!(!board.dma.ready(2));
        board.out(0x10 + 2 * 10, 0);
        assert!(board.dma.ready(2));
        board.out(8, COMMAND_DISABLE);
        assert!(!board.dma.ready(2));
    }

    #[test]
    fn memory_to_memory_copies() {
        let mut board = Board::new();
        board.bench.memory.0[0x100..0x104].copy_from_slice(&[1, 2, 3, 4]);
        board.out(8, COMMAND_MEMORY_TO_MEMORY);
        board.out(0x0B, 0x88);
        board.out(0x0B, 0x85);
        for (register, value) in [(0, 0x100), (1, 3), (2, 0x200), (3, 3)] {
            board.word(register, value);
        }
        board.out(9, 4);
        assert_eq!(board.bench.memory.0[0x200..0x205], [1, 2, 3, 4, 0]);
        assert_eq!(board.read(0x0D), 4);
        assert_eq!(board.read(8), 0x02);
    }

    #[test]
    fn page_ports_are_memory() {
        let mut board = Board::new();
        for port in 0..16 {
            board.out(DmaControllers::PAGES + port, port as u8 ^ 0x5A);
        }
        for port in 0..16 {
            assert_eq!(board.read(DmaControllers::PAGES + port), port as u8 ^ 0x5A);
        }
    }
}
