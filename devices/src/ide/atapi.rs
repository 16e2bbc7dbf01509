//! How a CD drive speaks on the ATA cable: PACKET by PIO and by bus master, and the few ATA commands that it takes
//! (ATA/ATAPI-6, 8.23 and 9.8-9.9). The packets themselves are in `cd.rs`.

use super::bus_master::BusMaster;
use super::cd::{Answer, Cd, Source};
use super::disk::moving;
use super::interface::{Interface, Phase, Then, error, status};
use super::{identify, sense};
use crate::{Ctx, Time};
use serde::{Deserialize, Serialize};

const COMMAND_IS_NEXT: u8 = 1; // interrupt reason: C/D
const DATA_TO_HOST: u8 = 2; // I/O
const DONE: u8 = 3; // both: status follows
const PACKET: usize = 12;
const CHUNK: u64 = 1 << 20; // most bytes that one DMA step moves
const LATENCY_NS: u64 = 20_000;
const NEXT_NS: u64 = 2_000;

/// A packet command under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    source: Source,
    offset: u64, // bytes given
    left: u64,   // bytes to give
    limit: u16,  // byte count limit: most bytes of a DRQ block
    dma: bool,
    started: bool, // the latency has been paid
    failure: Option<sense::Sense>,
}

impl Cd {
    pub(super) fn command(&mut self, port: &mut Interface, ctx: &mut Ctx, code: u8) {
        let now = ctx.now;
        match code {
            0xa0 => self.packet(port),
            0xa1 => {
                port.task.status = status::DRDY | status::DSC;
                port.buffer = identify::cd(self).to_vec();
                self.reply = Reply::default();
                self.identifying = true;
                port.busy(now, NEXT_NS, Then::Offer);
            }
            // IDENTIFY DEVICE and READ SECTORS tell a host that asks the wrong way what this is.
            0xec | 0x20 | 0x21 => {
                port.task.count.set(1);
                port.task.low.set(1);
                port.task.mid.set(0x14);
                port.task.high.set(0xeb);
                port.fail(error::ABRT);
            }
            0xe0 | 0xe2 | 0x94 | 0x96 => self.power(port, now, true),
            0xe1 | 0xe3 | 0x95 | 0x97 => self.power(port, now, false),
            0xe5 | 0x98 => {
                port.task.count.set(if self.standby { 0 } else { 0xff });
                self.identifying = true;
                port.busy(now, NEXT_NS, Then::Complete);
            }
            0xe6 | 0x99 => {
                port.complete();
                port.phase = Phase::Asleep;
            }
            0xef => self.set_features(port, now),
            _ => port.fail(error::ABRT),
        }
    }

    fn power(&mut self, port: &mut Interface, now: Time, standby: bool) {
        self.standby = standby;
        self.identifying = true;
        port.busy(now, NEXT_NS, Then::Complete);
    }

    fn set_features(&mut self, port: &mut Interface, now: Time) {
        match (port.task.features.now, port.task.count.now) {
            (0x03, 0x00 | 0x01 | 0x08..=0x0c) | (0x66 | 0xcc, _) => {}
            (0x03, mode @ (0x20..=0x22 | 0x40..=0x42)) => self.dma_mode = mode,
            _ => return port.fail(error::ABRT),
        }
        self.identifying = true;
        port.busy(now, NEXT_NS, Then::Complete);
    }

    fn packet(&mut self, port: &mut Interface) {
        if port.task.features.now & 2 != 0 {
            return port.fail(error::ABRT); // overlap
        }
        let asked = u16::from_le_bytes([port.task.mid.now, port.task.high.now]);
        // Only even blocks can be followed by another; 0 and FFFFh mean the largest.
        let limit = if matches!(asked, 0 | 0xffff) { 0xfffe } else { (asked & !1).max(2) };
        self.standby = false;
        self.identifying = false;
        self.reply = Reply { limit, dma: port.task.features.now & 1 != 0, ..Reply::default() };
        port.task.status = status::DRDY | status::DSC;
        port.task.count.set(COMMAND_IS_NEXT);
        port.ask(PACKET);
    }

    pub(super) fn block_given(&mut self, port: &mut Interface, ctx: &mut Ctx) {
        let mut packet = [0; PACKET];
        packet.copy_from_slice(&port.buffer[..PACKET]);
        port.buffer.clear();
        port.position = 0;
        let blocks = self.blocks(ctx, port.slot);
        match self.execute(&packet, blocks) {
            Err(why) => self.reply.failure = Some(why),
            Ok(Answer::Done) => {}
            Ok(Answer::Bytes(bytes)) => {
                self.reply.left = bytes.len() as u64;
                self.reply.source = Source::Bytes(bytes);
            }
            Ok(Answer::Sectors { first, count, layout }) => {
                self.reply.left = u64::from(count) * layout.size() as u64;
                self.reply.source = Source::Sectors { first, layout };
            }
        }
        if self.reply.left == 0 {
            port.busy(ctx.now, NEXT_NS, Then::Complete);
        } else if self.reply.dma {
            port.phase = Phase::Dma { until: None };
        } else {
            let latency = if matches!(self.reply.source, Source::Bytes(_)) { NEXT_NS } else { LATENCY_NS };
            port.busy(ctx.now, latency + moving(self.block()), Then::Read);
        }
    }

    /// Bytes of the next DRQ block.
    fn block(&self) -> u64 {
        self.reply.left.min(u64::from(self.reply.limit))
    }

    pub(super) fn step(&mut self, port: &mut Interface, ctx: &mut Ctx, then: Then) {
        match then {
            Then::Offer => port.offer(),
            Then::Read => self.next_block(port, ctx),
            _ => self.complete(port),
        }
    }

    fn next_block(&mut self, port: &mut Interface, ctx: &mut Ctx) {
        let n = self.block() as usize;
        port.buffer.clear();
        port.buffer.resize(n.next_multiple_of(2), 0);
        if !self.reply.source.fill(ctx.host.medium(port.slot), self.reply.offset, &mut port.buffer[..n]) {
            self.reply.failure = Some(sense::UNRECOVERED_READ);
            return self.complete(port);
        }
        self.passed(n as u64);
        [port.task.mid.now, port.task.high.now] = (n as u16).to_le_bytes();
        port.task.count.set(DATA_TO_HOST);
        port.offer();
    }

    fn passed(&mut self, bytes: u64) {
        self.reply.offset += bytes;
        self.reply.left -= bytes;
    }

    pub(super) fn block_taken(&mut self, port: &mut Interface, now: Time) {
        if self.identifying {
            let intrq = port.intrq;
            port.complete();
            port.intrq = intrq;
        } else if self.reply.left != 0 {
            port.busy(now, NEXT_NS + moving(self.block()), Then::Read);
        } else {
            port.busy(now, NEXT_NS, Then::Complete);
        }
    }

    /// Ends a command: with status, and for a packet with the interrupt reason and what went wrong.
    fn complete(&mut self, port: &mut Interface) {
        if std::mem::take(&mut self.identifying) {
            return port.complete();
        }
        port.task.count.set(DONE);
        match std::mem::take(&mut self.reply).failure {
            None => port.complete(),
            Some(why) => {
                self.sense = why;
                port.fail(why.key << 4 | error::ABRT);
            }
        }
    }

    pub(super) fn dma_time(&self) -> u64 {
        let latency = if self.reply.started { 1 } else { LATENCY_NS };
        latency + moving(self.reply.left.min(CHUNK))
    }

    /// Moves up to a chunk to memory. If the table of regions ends early, the rest waits for another.
    pub(super) fn dma(&mut self, port: &mut Interface, ctx: &mut Ctx, master: &mut BusMaster) {
        self.reply.started = true;
        let mut bytes = vec![0; self.reply.left.min(CHUNK) as usize];
        if !self.reply.source.fill(ctx.host.medium(port.slot), self.reply.offset, &mut bytes) {
            self.reply.failure = Some(sense::UNRECOVERED_READ);
            return self.complete(port);
        }
        let n = master.move_in(ctx.dma, &bytes);
        self.passed(n as u64);
        if self.reply.left == 0 {
            self.complete(port);
        } else {
            port.phase = Phase::Dma { until: None };
        }
    }
}
