//! `fw_cfg`: how an emulator hands its firmware configuration, tables and files.
//!
//! Follows: "QEMU Firmware Configuration (fw_cfg) Device" (docs/specs/fw_cfg) for the ports, the DMA interface and
//! the file directory. Everything is read-only for the guest; what is in it is the board's business. Tests at the
//! foot.

use crate::{Ctx, Dma, Ports, Width, read_bytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Numbers of the items that have no name.
#[allow(missing_docs)]
pub mod key {
    pub const SIGNATURE: u16 = 0x00;
    pub const ID: u16 = 0x01;
    pub const UUID: u16 = 0x02;
    pub const RAM_SIZE: u16 = 0x03;
    pub const NO_GRAPHIC: u16 = 0x04;
    pub const CPUS: u16 = 0x05;
    pub const MACHINE_ID: u16 = 0x06;
    pub const KERNEL_ADDRESS: u16 = 0x07;
    pub const KERNEL_SIZE: u16 = 0x08;
    pub const KERNEL_COMMAND_LINE: u16 = 0x09;
    pub const INITRD_ADDRESS: u16 = 0x0A;
    pub const INITRD_SIZE: u16 = 0x0B;
    pub const BOOT_DEVICE: u16 = 0x0C;
    pub const NUMA: u16 = 0x0D;
    pub const BOOT_MENU: u16 = 0x0E;
    pub const MAX_CPUS: u16 = 0x0F;
    pub const FILE_DIRECTORY: u16 = 0x19;
    pub const FIRST_FILE: u16 = 0x20;
    pub const E820: u16 = 0x8003;
}

const ID_TRADITIONAL: u32 = 1 << 0; // selector and data ports
const ID_DMA: u32 = 1 << 1;
const WRITE_CHANNEL: u16 = 0x4000;
/// What the DMA address register reads as.
const DMA_SIGNATURE: u64 = 0x5145_4D55_2043_4647; // "QEMU CFG"

const DMA_ERROR: u32 = 1 << 0;
const DMA_READ: u32 = 1 << 1;
const DMA_SKIP: u32 = 1 << 2;
const DMA_SELECT: u32 = 1 << 3;
const DMA_WRITE: u32 = 1 << 4;

/// Bytes of zeros that one DMA command writes behind the end of an item. No item is near that long.
const MOST_ZEROS: usize = 1 << 20;
/// Length of a name in the directory, with its terminating zero.
const NAME: usize = 56;

/// The device.
///
/// As [`Ports`]: offset 0 is the selector (510h, 16 bits), 1 the data (511h), 4 to 11 the DMA address (514h).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfg {
    items: BTreeMap<u16, Vec<u8>>,
    files: Vec<String>, // names, in order of their numbers
    selected: u16,
    offset: usize,    // of the next data byte in the selected item
    dma_address: u64, // of the command, as far as written
}

impl Default for FwCfg {
    fn default() -> Self {
        Self::new()
    }
}

impl FwCfg {
    /// With its signature and nothing else.
    pub fn new() -> Self {
        let mut device =
            FwCfg { items: BTreeMap::new(), files: Vec::new(), selected: 0, offset: 0, dma_address: 0 };
        device.put(key::SIGNATURE, *b"QEMU");
        device.put(key::ID, (ID_TRADITIONAL | ID_DMA).to_le_bytes());
        device.put(key::FILE_DIRECTORY, 0u32.to_be_bytes());
        device
    }

    /// Hard reset: contents stay.
    pub fn reset(&mut self) {
        self.selected = 0;
        self.offset = 0;
        self.dma_address = 0;
    }

    /// Sets item `key`.
    pub fn put(&mut self, key: u16, bytes: impl Into<Vec<u8>>) {
        self.items.insert(key & !WRITE_CHANNEL, bytes.into());
    }

    /// Adds a file, or replaces the one of that name; returns its number. Names are cut at 55 bytes.
    pub fn put_file(&mut self, name: &str, bytes: impl Into<Vec<u8>>) -> u16 {
        let index = match self.files.iter().position(|known| known == name) {
            Some(index) => index,
            None => {
                self.files.push(name.into());
                self.files.len() - 1
            }
        };
        let key = key::FIRST_FILE + index as u16;
        self.put(key, bytes);
        self.put(key::FILE_DIRECTORY, self.directory());
        key
    }

    /// Big-endian: a count, then size, number, a reserved word and name of each file.
    fn directory(&self) -> Vec<u8> {
        let mut directory = (self.files.len() as u32).to_be_bytes().to_vec();
        for (name, key) in self.files.iter().zip(key::FIRST_FILE..) {
            let size = self.items.get(&key).map_or(0, Vec::len) as u32;
            directory.extend(size.to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0; 2]);
            let mut field = [0; NAME];
            let cut = name.len().min(NAME - 1);
            field[..cut].copy_from_slice(&name.as_bytes()[..cut]);
            directory.extend(field);
        }
        directory
    }

    fn select(&mut self, key: u16) {
        self.selected = key & !WRITE_CHANNEL;
        self.offset = 0;
    }

    /// What is left of the selected item.
    fn rest(&self) -> &[u8] {
        let item = self.items.get(&self.selected).map_or(&[][..], Vec::as_slice);
        item.get(self.offset..).unwrap_or(&[])
    }

    fn next_byte(&mut self) -> u8 {
        let byte = self.rest().first().copied().unwrap_or(0);
        self.offset = self.offset.saturating_add(1);
        byte
    }

    /// Carries out the command at `dma_address`: control, length and address, big-endian.
    fn command(&mut self, memory: &mut dyn Dma) {
        let at = std::mem::take(&mut self.dma_address);
        let mut command = [0; 16];
        memory.read(at, &mut command);
        let [control, length] =
            [0, 4].map(|i| u32::from_be_bytes([command[i], command[i + 1], command[i + 2], command[i + 3]]));
        let address = command[8..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if control & DMA_SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let mut result = 0;
        if control & DMA_READ != 0 {
            self.copy_out(memory, address, length as usize);
        } else if control & DMA_WRITE != 0 {
            result = DMA_ERROR; // nothing here is writable
        } else if control & DMA_SKIP != 0 {
            self.offset = self.offset.saturating_add(length as usize);
        }
        memory.write(at, &result.to_be_bytes());
    }

    fn copy_out(&mut self, memory: &mut dyn Dma, address: u64, length: usize) {
        let rest = self.rest();
        let data = &rest[..length.min(rest.len())];
        memory.write(address, data);
        let zeros = vec![0; (length - data.len()).min(MOST_ZEROS)];
        memory.write(address.wrapping_add(data.len() as u64), &zeros);
        self.offset = self.offset.saturating_add(length);
    }
}

impl Ports for FwCfg {
    fn read(&mut self, _ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| match port {
            1 => self.next_byte(),
            4..12 => DMA_SIGNATURE.to_be_bytes()[usize::from(port - 4)],
            _ => 0xFF,
        })
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        match (offset, width) {
            (0, Width::Word) => self.select(value as u16),
            (0, Width::Byte) => self.select(value as u16 & 0xFF),
            (4, Width::Dword) => self.dma_address = u64::from(value.swap_bytes()) << 32,
            (8, Width::Dword) => {
                self.dma_address |= u64::from(value.swap_bytes());
                self.command(ctx.dma);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    struct Guest {
        bench: Bench,
        device: FwCfg,
    }

    impl Guest {
        fn new() -> Self {
            Guest { bench: Bench::new(), device: FwCfg::new() }
        }

        fn read(&mut self, key: u16, len: usize) -> Vec<u8> {
            self.device.write(&mut self.bench.ctx(), 0, Width::Word, key.into());
            (0..len).map(|_| self.bench.inb(&mut self.device, 1)).collect()
        }

        fn dma(&mut self, control: u32, length: u32, address: u64) -> u32 {
            let command =
                [&control.to_be_bytes()[..], &length.to_be_bytes(), &address.to_be_bytes()].concat();
            self.bench.memory.0[0x1000..0x1010].copy_from_slice(&command);
            self.device.write(&mut self.bench.ctx(), 4, Width::Dword, 0);
            self.device.write(&mut self.bench.ctx(), 8, Width::Dword, 0x1000u32.swap_bytes());
            u32::from_be_bytes(self.bench.memory.0[0x1000..0x1004].try_into().unwrap())
        }
    }

    #[test]
    fn signature_and_end_of_item() {
        let mut guest = Guest::new();
        assert_eq!(guest.read(key::SIGNATURE, 6), b"QEMU\0\0");
        assert_eq!(guest.read(key::ID, 4), [3, 0, 0, 0]);
        assert_eq!(guest.read(0x1234, 2), [0, 0], "no such item");
    }

    #[test]
    fn directory_lists_files() {
        let mut guest = Guest::new();
        let key = guest.device.put_file("etc/e820", vec![7; 20]);
        assert_eq!(guest.device.put_file("etc/e820", vec![8; 40]), key, "replaced");
        assert_eq!(key, 0x20);
        let directory = guest.read(key::FILE_DIRECTORY, 4 + 64);
        assert_eq!(directory[..12], [0, 0, 0, 1, 0, 0, 0, 40, 0, 0x20, 0, 0]);
        assert_eq!(&directory[12..21], b"etc/e820\0");
        assert_eq!(guest.read(0x20, 2), [8, 8]);
    }

    #[test]
    fn dma_reads_skips_and_refuses_writes() {
        let mut guest = Guest::new();
        let port: Vec<u8> = (4..12).map(|port| guest.bench.inb(&mut guest.device, port)).collect();
        assert_eq!(port, b"QEMU CFG");
        guest.device.put(key::UUID, (0..16).collect::<Vec<u8>>());
        let select = u32::from(key::UUID) << 16 | DMA_SELECT;
        assert_eq!(guest.dma(select | DMA_SKIP, 4, 0), 0);
        guest.bench.memory.0[0x2000..0x2020].fill(0xEE);
        assert_eq!(guest.dma(DMA_READ, 14, 0x2000), 0);
        assert_eq!(
            guest.bench.memory.0[0x2000..0x200F],
            [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0xEE]
        );
        assert_eq!(guest.dma(select | DMA_WRITE, 1, 0x2000), DMA_ERROR);
    }
}
