//! A hard disk: the general, 48-bit, power management and SMART feature sets of ATA/ATAPI-6 (chapters 6 and 8).
//!
//! Contents lie at the host ([`crate::Host::medium`]); a host failure becomes UNC on a read and ABRT on a write. SMART is
//! in `smart.rs`, IDENTIFY DEVICE in `identify.rs`.

use super::bus_master::BusMaster;
use super::interface::{Interface, Phase, Then, error, status};
use super::{identify, smart};
use crate::{Ctx, Medium, Time};
use serde::{Deserialize, Serialize};

/// Bytes in a sector.
pub(super) const SECTOR: usize = 512;
/// Most sectors in a DRQ block of READ and WRITE MULTIPLE.
pub(super) const MAX_MULTIPLE: u8 = 16;
const CHUNK: u64 = 1 << 20; // most bytes that one DMA step moves, so that no step takes long
const LATENCY_NS: u64 = 20_000;
const NEXT_BLOCK_NS: u64 = 2_000;
const LBA: u8 = 0x40; // device register: LBA instead of CHS

/// Nanoseconds to move `bytes` at 1.5 GB/s.
pub(super) fn moving(bytes: u64) -> u64 {
    bytes * 2 / 3
}

/// How a command named its sectors, and so how their address is reported back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Addressing {
    #[default]
    Chs,
    Lba28,
    Lba48,
}

/// Sectors under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Transfer {
    addressing: Addressing,
    offset: u64, // bytes from the disk's start
    left: u64,   // bytes
    block: u64,  // bytes of a DRQ block
    write: bool,
    started: bool, // the latency of a DMA command has been paid
}

/// Heads and sectors per track as CHS addresses count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Geometry {
    pub cylinders: u16,
    pub heads: u8,
    pub sectors: u8,
}

impl Geometry {
    /// The translation that IDENTIFY offers by default: 16 heads of 63 sectors, at most 16,383 cylinders.
    pub fn natural(total: u64) -> Geometry {
        Geometry::of(total, 16, 63)
    }

    fn of(total: u64, heads: u8, sectors: u8) -> Geometry {
        let cylinder = u64::from(heads) * u64::from(sectors);
        let limit = if heads == 16 && sectors == 63 { 16_383 } else { 65_535 };
        Geometry { cylinders: (total / cylinder.max(1)).clamp(1, limit) as u16, heads, sectors }
    }

    pub fn total(self) -> u32 {
        u32::from(self.cylinders) * u32::from(self.heads) * u32::from(self.sectors)
    }
}

/// A hard disk's state, without its contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    pub(super) sectors: u64,
    pub(super) serial: String,
    pub(super) geometry: Geometry, // current translation
    pub(super) multiple: u8,       // sectors of a READ MULTIPLE block; 0: not set
    pub(super) dma_mode: u8,       // as SET FEATURES 03h gave it: 2xh multiword, 4xh ultra
    pub(super) write_cache: bool,
    pub(super) look_ahead: bool,
    pub(super) smart: bool,
    pub(super) smart_saves: bool,
    standby: bool,
    transfer: Transfer,
}

impl Disk {
    /// A disk of `bytes` bytes, rounded up to sectors.
    pub fn new(bytes: u64, serial: &str) -> Disk {
        let sectors = bytes.div_ceil(SECTOR as u64).clamp(1, 1 << 48);
        Disk {
            sectors,
            serial: serial.chars().filter(char::is_ascii_graphic).take(20).collect(),
            geometry: Geometry::natural(sectors),
            multiple: MAX_MULTIPLE,
            dma_mode: 0x22,
            write_cache: true,
            look_ahead: true,
            smart: true,
            smart_saves: true,
            standby: false,
            transfer: Transfer::default(),
        }
    }

    /// Size in sectors of 512 bytes.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    pub(super) fn power_on(&mut self) {
        *self = Disk::new(self.sectors * SECTOR as u64, &self.serial);
    }

    /// SRST keeps settings and drops what was under way.
    pub(super) fn soft_reset(&mut self) {
        self.transfer = Transfer::default();
        self.standby = false;
    }

    pub(super) fn command(&mut self, port: &mut Interface, ctx: &mut Ctx, code: u8) {
        use Addressing::Lba48;
        let now = ctx.now;
        let multiple = u64::from(self.multiple);
        let short = self.addressing(port);
        match code {
            0x10..=0x1f => self.quickly(port, now), // RECALIBRATE
            0x20 | 0x21 => self.pio(port, now, short, 1, false),
            0x24 => self.pio(port, now, Lba48, 1, false),
            0x29 => self.pio(port, now, Lba48, multiple, false),
            0x30 | 0x31 | 0x3c => self.pio(port, now, short, 1, true), // 3Ch: with verify
            0x34 => self.pio(port, now, Lba48, 1, true),
            0x39 => self.pio(port, now, Lba48, multiple, true),
            0x40 | 0x41 => self.verify(port, now, short),
            0x42 => self.verify(port, now, Lba48),
            0xc4 => self.pio(port, now, short, multiple, false),
            0xc5 => self.pio(port, now, short, multiple, true),
            0xc8 | 0xc9 => self.start_dma(port, short, false),
            0x25 => self.start_dma(port, Lba48, false),
            0xca | 0xcb => self.start_dma(port, short, true),
            0x35 => self.start_dma(port, Lba48, true),
            0x27 => self.read_native_max(port, now, Lba48),
            0xf8 => self.read_native_max(port, now, Addressing::Lba28),
            0x70..=0x7f => self.seek(port, now, short),
            0x91 => self.initialize_parameters(port, now),
            0xc6 => self.set_multiple(port, now),
            0xe0 | 0x94 | 0xe2 | 0x96 => self.power(port, now, true),
            0xe1 | 0x95 | 0xe3 | 0x97 => self.power(port, now, false),
            0xe5 | 0x98 => {
                port.task.count.set(if self.standby { 0 } else { 0xff });
                self.quickly(port, now);
            }
            0xe6 | 0x99 => {
                port.complete();
                port.phase = Phase::Asleep;
            }
            0xe7 | 0xea => port.busy(now, LATENCY_NS, Then::Flush),
            0xec => {
                port.buffer = identify::disk(self).to_vec();
                port.busy(now, NEXT_BLOCK_NS, Then::Offer);
            }
            0xef => self.set_features(port, now),
            0xb0 => smart::command(self, port, now),
            _ => port.fail(error::ABRT),
        }
    }

    /// Ends a command that needs no time worth mentioning.
    pub(super) fn quickly(&self, port: &mut Interface, now: Time) {
        port.busy(now, NEXT_BLOCK_NS, Then::Complete);
    }

    /// Offers a sector that comes from the drive itself.
    pub(super) fn offer(&self, port: &mut Interface, now: Time, sector: Vec<u8>) {
        port.buffer = sector;
        port.busy(now, NEXT_BLOCK_NS, Then::Offer);
    }

    fn addressing(&self, port: &Interface) -> Addressing {
        if port.task.device & LBA != 0 { Addressing::Lba28 } else { Addressing::Chs }
    }

    /// The sectors that the task file names: first and how many, if all of them exist.
    fn range(&self, port: &Interface, addressing: Addressing) -> Option<(u64, u64)> {
        let t = &port.task;
        let low = u64::from(t.low.now) | u64::from(t.mid.now) << 8 | u64::from(t.high.now) << 16;
        let short_count = if t.count.now == 0 { 256 } else { u64::from(t.count.now) };
        let (first, count) = match addressing {
            Addressing::Lba28 => (low | u64::from(t.device & 15) << 24, short_count),
            Addressing::Lba48 => {
                let before =
                    u64::from(t.low.before) | u64::from(t.mid.before) << 8 | u64::from(t.high.before) << 16;
                let count = u64::from(t.count.before) << 8 | u64::from(t.count.now);
                (low | before << 24, if count == 0 { 65_536 } else { count })
            }
            Addressing::Chs => {
                let g = self.geometry;
                let (sector, head) = (t.low.now, t.device & 15);
                let cylinder = u64::from(t.high.now) << 8 | u64::from(t.mid.now);
                if sector == 0 || sector > g.sectors || head >= g.heads || cylinder >= u64::from(g.cylinders)
                {
                    return None;
                }
                let track = cylinder * u64::from(g.heads) + u64::from(head);
                (track * u64::from(g.sectors) + u64::from(sector - 1), short_count)
            }
        };
        (first + count <= self.sectors).then_some((first, count))
    }

    /// Writes a sector's address back to the task file, as the command named it.
    fn report(&self, port: &mut Interface, sector: u64) {
        let t = &mut port.task;
        let bytes = sector.to_le_bytes();
        match self.transfer.addressing {
            Addressing::Lba28 | Addressing::Lba48 => {
                (t.low.now, t.mid.now, t.high.now) = (bytes[0], bytes[1], bytes[2]);
                if self.transfer.addressing == Addressing::Lba48 {
                    (t.low.before, t.mid.before, t.high.before) = (bytes[3], bytes[4], bytes[5]);
                } else {
                    t.device = t.device & 0xf0 | bytes[3] & 15;
                }
            }
            Addressing::Chs => {
                let per_track = u64::from(self.geometry.sectors.max(1));
                let track = sector / per_track;
                let heads = u64::from(self.geometry.heads.max(1));
                let cylinder = (track / heads).to_le_bytes();
                t.low.now = (sector % per_track + 1) as u8;
                (t.mid.now, t.high.now) = (cylinder[0], cylinder[1]);
                t.device = t.device & 0xf0 | (track % heads) as u8;
            }
        }
    }

    /// Takes over the range of the task file, or ends the command with IDNF.
    fn start(&mut self, port: &mut Interface, addressing: Addressing, block: u64, write: bool) -> bool {
        self.standby = false;
        let Some((first, count)) = self.range(port, addressing) else {
            port.fail(error::IDNF);
            return false;
        };
        self.transfer = Transfer {
            addressing,
            offset: first * SECTOR as u64,
            left: count * SECTOR as u64,
            block: block * SECTOR as u64,
            write,
            started: false,
        };
        true
    }

    fn pio(&mut self, port: &mut Interface, now: Time, addressing: Addressing, block: u64, write: bool) {
        if block == 0 {
            port.fail(error::ABRT);
        } else if self.start(port, addressing, block, write) {
            if write {
                port.ask(self.block());
            } else {
                port.busy(now, LATENCY_NS + moving(self.block() as u64), Then::Read);
            }
        }
    }

    fn start_dma(&mut self, port: &mut Interface, addressing: Addressing, write: bool) {
        if self.start(port, addressing, 1, write) {
            port.phase = Phase::Dma { until: None };
        }
    }

    fn verify(&mut self, port: &mut Interface, now: Time, addressing: Addressing) {
        if self.start(port, addressing, 1, false) {
            port.busy(now, LATENCY_NS + moving(self.transfer.left.min(CHUNK)), Then::Verify);
        }
    }

    fn seek(&mut self, port: &mut Interface, now: Time, addressing: Addressing) {
        port.task.count.now = 1; // SEEK has no count: only the address must exist
        match self.range(port, addressing) {
            Some(_) => self.quickly(port, now),
            None => port.fail(error::IDNF),
        }
    }

    fn read_native_max(&mut self, port: &mut Interface, now: Time, addressing: Addressing) {
        if port.task.device & LBA == 0 {
            return port.fail(error::ABRT);
        }
        let limit = if addressing == Addressing::Lba28 { (1 << 28) - 1 } else { u64::MAX };
        self.transfer.addressing = addressing;
        self.report(port, (self.sectors - 1).min(limit));
        self.quickly(port, now);
    }

    /// INITIALIZE DEVICE PARAMETERS: the translation that CHS addresses use from now on.
    fn initialize_parameters(&mut self, port: &mut Interface, now: Time) {
        let (heads, sectors) = ((port.task.device & 15) + 1, port.task.count.now);
        if sectors == 0 {
            return port.fail(error::ABRT);
        }
        self.geometry = Geometry::of(self.sectors, heads, sectors);
        self.quickly(port, now);
    }

    fn set_multiple(&mut self, port: &mut Interface, now: Time) {
        let n = port.task.count.now;
        if n > MAX_MULTIPLE || n != 0 && !n.is_power_of_two() {
            return port.fail(error::ABRT);
        }
        self.multiple = n;
        self.quickly(port, now);
    }

    fn power(&mut self, port: &mut Interface, now: Time, standby: bool) {
        self.standby = standby;
        self.quickly(port, now);
    }

    fn set_features(&mut self, port: &mut Interface, now: Time) {
        match port.task.features.now {
            0x02 => self.write_cache = true,
            0x82 => self.write_cache = false,
            0xaa => self.look_ahead = true,
            0x55 => self.look_ahead = false,
            0x03 => match port.task.count.now {
                0x00 | 0x01 | 0x08..=0x0c => {} // PIO modes: no matter here
                mode @ (0x20..=0x22 | 0x40..=0x42) => self.dma_mode = mode,
                _ => return port.fail(error::ABRT),
            },
            0x66 | 0xcc => {} // keep or lose settings at SRST: always kept
            _ => return port.fail(error::ABRT),
        }
        self.quickly(port, now);
    }

    /// Bytes of the next DRQ block.
    fn block(&self) -> usize {
        self.transfer.left.min(self.transfer.block) as usize
    }

    pub(super) fn step(&mut self, port: &mut Interface, ctx: &mut Ctx, at: Time, then: Then) {
        match then {
            Then::Offer => port.offer(),
            Then::Read => self.read_block(port, ctx),
            Then::Write => self.write_block(port, ctx),
            Then::Verify => self.verify_chunk(port, ctx, at),
            Then::Flush => match ctx.host.medium(port.slot).map(|m| m.flush()) {
                Some(Ok(())) => port.complete(),
                _ => port.end(status::DRDY | status::DF | status::ERR, error::ABRT),
            },
            Then::Complete | Then::Signature(_) => port.complete(),
        }
    }

    fn read_block(&mut self, port: &mut Interface, ctx: &mut Ctx) {
        let n = self.block();
        port.buffer.clear();
        port.buffer.resize(n, 0);
        let good = read(ctx.host.medium(port.slot), self.transfer.offset, &mut port.buffer);
        self.passed(good);
        if good < n {
            return self.bad_sector(port);
        }
        port.offer();
    }

    fn write_block(&mut self, port: &mut Interface, ctx: &mut Ctx) {
        if !write(ctx.host.medium(port.slot), self.transfer.offset, &port.buffer) {
            return self.bad_sector(port);
        }
        self.passed(port.buffer.len());
        if self.transfer.left == 0 {
            return self.finish(port);
        }
        port.ask(self.block());
        port.intrq = true;
    }

    fn verify_chunk(&mut self, port: &mut Interface, ctx: &mut Ctx, at: Time) {
        let mut bytes = vec![0; self.transfer.left.min(CHUNK) as usize];
        let good = read(ctx.host.medium(port.slot), self.transfer.offset, &mut bytes);
        self.passed(good);
        if good < bytes.len() {
            self.bad_sector(port);
        } else if self.transfer.left == 0 {
            self.finish(port);
        } else {
            port.busy(at, moving(self.transfer.left.min(CHUNK)).max(1), Then::Verify);
        }
    }

    pub(super) fn block_taken(&mut self, port: &mut Interface, now: Time) {
        if self.transfer.left != 0 {
            return port.busy(now, NEXT_BLOCK_NS + moving(self.block() as u64), Then::Read);
        }
        let intrq = port.intrq;
        self.finish(port);
        port.intrq = intrq; // the last block read ends the command without an interrupt of its own
    }

    pub(super) fn block_given(&mut self, port: &mut Interface, now: Time) {
        port.busy(now, NEXT_BLOCK_NS + moving(port.buffer.len() as u64), Then::Write);
    }

    /// Time of the next DMA step.
    pub(super) fn dma_time(&self) -> u64 {
        let latency = if self.transfer.started { 1 } else { LATENCY_NS };
        latency + moving(self.transfer.left.min(CHUNK))
    }

    /// Moves up to a chunk between medium and memory. If the table of regions ends early, the rest waits for another.
    pub(super) fn dma(&mut self, port: &mut Interface, ctx: &mut Ctx, master: &mut BusMaster) {
        self.transfer.started = true;
        let mut bytes = vec![0; self.transfer.left.min(CHUNK) as usize];
        let offset = self.transfer.offset;
        if self.transfer.write {
            let n = master.move_out(ctx.dma, &mut bytes);
            if !write(ctx.host.medium(port.slot), offset, &bytes[..n]) {
                return self.bad_sector(port);
            }
            self.passed(n);
        } else {
            let good = read(ctx.host.medium(port.slot), offset, &mut bytes);
            let moved = master.move_in(ctx.dma, &bytes[..good]);
            self.passed(moved);
            if moved == good && good < bytes.len() {
                return self.bad_sector(port);
            }
        }
        if self.transfer.left == 0 {
            self.finish(port);
        } else {
            port.phase = Phase::Dma { until: None };
        }
    }

    fn passed(&mut self, bytes: usize) {
        self.transfer.offset += bytes as u64;
        self.transfer.left -= bytes as u64;
    }

    /// All sectors are done: the registers name the last one.
    fn finish(&mut self, port: &mut Interface) {
        if self.transfer.offset != 0 {
            self.report(port, self.transfer.offset / SECTOR as u64 - 1);
            port.task.count.set(0);
        }
        self.transfer = Transfer::default();
        port.complete();
    }

    /// The command ends at a sector that the host can't read or write; the registers name it.
    fn bad_sector(&mut self, port: &mut Interface) {
        self.report(port, self.transfer.offset / SECTOR as u64);
        let left = self.transfer.left.div_ceil(SECTOR as u64);
        (port.task.count.now, port.task.count.before) = (left as u8, (left >> 8) as u8);
        port.fail(if self.transfer.write { error::ABRT } else { error::UNC });
        self.transfer = Transfer::default();
    }
}

/// Reads from the medium; how many bytes are good, in whole sectors unless all are.
fn read(medium: Option<&mut dyn Medium>, offset: u64, to: &mut [u8]) -> usize {
    let Some(medium) = medium else { return 0 };
    if medium.read(offset, to).is_ok() {
        return to.len();
    }
    let mut good = 0;
    for sector in to.chunks_mut(SECTOR) {
        if medium.read(offset + good as u64, sector).is_err() {
            break;
        }
        good += sector.len();
    }
    good
}

fn write(medium: Option<&mut dyn Medium>, offset: u64, from: &[u8]) -> bool {
    medium.is_some_and(|m| !m.read_only() && m.write(offset, from).is_ok())
}
