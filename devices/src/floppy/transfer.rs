//! Execution of the commands that move sectors (82077AA datasheet, 5.1 to 5.1.9, and the result tables of 6).

use super::commands::st0;
use super::{Direction, Floppy, Geometry, Phase, Then};
use crate::{Ctx, Time};
use serde::{Deserialize, Serialize};

const SECTOR: usize = 512;
const SIZE_512: u8 = 2; // N
/// Time of a sector under the head.
pub(super) const SECTOR_NS: u64 = 50_000;

/// Status register 1.
mod st1 {
    pub const END_OF_CYLINDER: u8 = 0x80;
    pub const DATA_ERROR: u8 = 0x20;
    pub const NO_DATA: u8 = 0x04;
    pub const NOT_WRITABLE: u8 = 0x02;
    pub const MISSING_MARK: u8 = 0x01;
}

/// Status register 2.
mod st2 {
    pub const CONTROL_MARK: u8 = 0x40;
    pub const DATA_ERROR: u8 = 0x20;
    pub const WRONG_CYLINDER: u8 = 0x10;
    pub const SCAN_EQUAL: u8 = 0x08;
    pub const SCAN_FAILED: u8 = 0x04;
    pub const BAD_CYLINDER: u8 = 0x02;
}

/// What is done with sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Operation {
    #[default]
    Read,
    ReadDeleted,
    ReadTrack,
    Write,
    Format,
    Verify,
    ScanEqual,
    ScanLow,
    ScanHigh,
}

impl Operation {
    fn writes(self) -> bool {
        matches!(self, Operation::Write | Operation::Format)
    }

    fn scans(self) -> bool {
        matches!(self, Operation::ScanEqual | Operation::ScanLow | Operation::ScanHigh)
    }
}

/// A command under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfer {
    pub operation: Operation,
    pub multi_track: bool,
    pub skip: bool,
    pub drive: u8,
    pub head: u8,        // the side that is read, in contrast to the one that IDs name
    pub id: [u8; 4],     // C, H, R, N of the sector that is looked for
    pub last: u8,        // EOT
    pub data_length: u8, // DTL; STP of a scan
    pub count: u16,      // sectors left of READ TRACK, VERIFY and FORMAT
    pub filler: u8,
    pub stopped: bool, // terminal count has come
    pub st2: u8,       // gathered on the way
}

type Error = (u8, u8); // ST1 and ST2

impl Floppy {
    /// The diskette under the command's head, if the track has been formatted at this data rate.
    fn diskette(&self, ctx: &mut Ctx) -> Result<(Geometry, usize), Error> {
        let drive = &self.drives[usize::from(self.transfer.drive)];
        let missing = (st1::MISSING_MARK, 0);
        let medium = if drive.connected { ctx.host.medium(drive.slot) } else { None };
        let geometry = medium.and_then(|m| Geometry::of(m.len())).ok_or(missing)?;
        let formatted = geometry.reads_at(self.rate)
            && drive.cylinder < geometry.cylinders
            && self.transfer.head < geometry.heads;
        if !formatted {
            return Err(missing);
        }
        if self.transfer.operation.writes() && ctx.host.medium(drive.slot).is_some_and(|m| m.read_only()) {
            return Err((st1::NOT_WRITABLE, 0));
        }
        Ok((geometry, drive.slot))
    }

    /// Finds the sector that the transfer is at: slot and offset of its bytes.
    fn locate(&mut self, ctx: &mut Ctx) -> Result<(usize, u64), Error> {
        let (geometry, slot) = self.diskette(ctx)?;
        let t = &self.transfer;
        let cylinder = self.drives[usize::from(t.drive)].cylinder;
        let [c, h, r, n] = t.id;
        if c != cylinder && t.operation != Operation::ReadTrack {
            let wrong = if c == 0xff { st2::BAD_CYLINDER } else { st2::WRONG_CYLINDER };
            return Err((st1::NO_DATA, wrong));
        }
        let found = geometry.offset(cylinder, t.head, r);
        let matches = h == t.head && n == SIZE_512 || t.operation == Operation::ReadTrack;
        found.filter(|_| matches).map(|offset| (slot, offset)).ok_or((st1::NO_DATA, 0))
    }

    /// A sector comes under the head.
    pub(super) fn sector(&mut self, ctx: &mut Ctx, at: Time) {
        if let Err((st1, st2)) = self.meet(ctx, at) {
            self.end(st1, st2);
        }
    }

    fn meet(&mut self, ctx: &mut Ctx, at: Time) -> Result<(), Error> {
        let operation = self.transfer.operation;
        if operation == Operation::Format {
            self.diskette(ctx)?;
            return self.ask(4);
        }
        if self.transfer.count == 0 && matches!(operation, Operation::ReadTrack | Operation::Verify) {
            return Err((st1::NO_DATA, 0));
        }
        let (slot, offset) = self.locate(ctx)?;
        if operation == Operation::ReadDeleted && self.transfer.skip {
            // No sector has the deleted mark: all are passed over.
            self.after_sector(at);
            return Ok(());
        }
        if operation == Operation::Write || operation.scans() {
            return self.ask(SECTOR);
        }
        self.buffer.clear();
        self.buffer.resize(SECTOR, 0);
        self.position = 0;
        self.load(ctx, slot, offset)?;
        if operation == Operation::Verify {
            self.after_sector(at);
        } else {
            self.phase = Phase::Moving(Direction::ToMemory);
        }
        Ok(())
    }

    fn ask(&mut self, bytes: usize) -> Result<(), Error> {
        self.buffer.clear();
        self.buffer.resize(bytes, 0);
        self.position = 0;
        self.phase = Phase::Moving(Direction::FromMemory);
        Ok(())
    }

    /// Reads a sector into the buffer; what a short image lacks is zeros.
    fn load(&mut self, ctx: &mut Ctx, slot: usize, offset: u64) -> Result<(), Error> {
        let bad = (st1::DATA_ERROR, st2::DATA_ERROR);
        let medium = ctx.host.medium(slot).ok_or(bad)?;
        let there = medium.len().saturating_sub(offset).min(SECTOR as u64) as usize;
        medium.read(offset, &mut self.buffer[..there]).map_err(|_| bad)
    }

    /// The buffer has come from the host and is used.
    pub(super) fn store(&mut self, ctx: &mut Ctx, at: Time) {
        let result = match self.transfer.operation {
            Operation::Format => self.format_sector(ctx),
            Operation::Write => {
                self.locate(ctx).and_then(|(slot, offset)| write(ctx, slot, offset, &self.buffer))
            }
            _ => self.compare(ctx),
        };
        match result {
            Ok(()) => self.after_sector(at),
            Err((st1, st2)) => self.end(st1, st2),
        }
    }

    /// FORMAT TRACK writes the filler to the sectors whose IDs come. Only the standard IDs can be kept.
    fn format_sector(&mut self, ctx: &mut Ctx) -> Result<(), Error> {
        if self.transfer.stopped && self.position < 4 {
            return Ok(());
        }
        let [c, h, r, n] = [0, 1, 2, 3].map(|i| self.buffer[i]);
        let (geometry, slot) = self.diskette(ctx)?;
        let here = (self.drives[usize::from(self.transfer.drive)].cylinder, self.transfer.head);
        let offset = geometry.offset(c, h, r).filter(|_| (c, h) == here && n == SIZE_512);
        let offset = offset.ok_or((st1::NO_DATA, 0))?;
        write(ctx, slot, offset, &[self.transfer.filler; SECTOR])
    }

    /// The scan commands compare the host's bytes (FFh matches any) with the sector's.
    fn compare(&mut self, ctx: &mut Ctx) -> Result<(), Error> {
        let wanted = std::mem::replace(&mut self.buffer, vec![0; SECTOR]);
        let (slot, offset) = self.locate(ctx)?;
        self.load(ctx, slot, offset)?;
        let differ = wanted.iter().zip(&self.buffer).find(|&(&w, &d)| w != d && w != 0xff && d != 0xff);
        let (hit, equal) = match (differ, self.transfer.operation) {
            (None, _) => (true, true),
            (Some((w, d)), Operation::ScanLow) => (d < w, false),
            (Some((w, d)), Operation::ScanHigh) => (d > w, false),
            _ => (false, false),
        };
        self.transfer.st2 = if equal {
            st2::SCAN_EQUAL
        } else if hit {
            0
        } else {
            st2::SCAN_FAILED
        };
        self.transfer.stopped |= hit;
        Ok(())
    }

    /// One sector is done: on to the next, or to the result.
    pub(super) fn after_sector(&mut self, at: Time) {
        let t = &mut self.transfer;
        let at_last = t.id[2] == t.last;
        t.count = t.count.saturating_sub(1);
        match t.operation {
            Operation::Format if t.count == 0 || t.stopped => return self.end(0, 0),
            Operation::Format => return self.busy(at, SECTOR_NS, Then::Sector),
            Operation::ReadTrack => {
                let ended = t.count == 0;
                t.id[2] = t.id[2].wrapping_add(1);
                return if t.stopped {
                    self.end(0, 0)
                } else if ended {
                    self.end(st1::END_OF_CYLINDER, 0)
                } else {
                    self.busy(at, SECTOR_NS, Then::Sector)
                };
            }
            _ => {}
        }
        let scan_step = if t.operation.scans() && t.data_length == 2 { 2 } else { 1 };
        let control_mark = t.operation == Operation::ReadDeleted && !t.skip;
        let verified = t.operation == Operation::Verify && t.count == 0;
        let other_side = t.multi_track && t.head == 0;
        if !at_last {
            t.id[2] = t.id[2].wrapping_add(scan_step);
        } else {
            t.id[2] = 1;
            if t.multi_track {
                t.head ^= 1;
                t.id[1] ^= 1;
            }
            if !other_side {
                t.id[0] = t.id[0].wrapping_add(1);
            }
        }
        if control_mark {
            t.st2 |= st2::CONTROL_MARK;
        }
        let end_of_cylinder = at_last && !other_side;
        if t.stopped || control_mark || verified {
            self.end(0, 0);
        } else if end_of_cylinder {
            let normal = t.operation == Operation::Verify || t.operation.scans();
            self.end(if normal { 0 } else { st1::END_OF_CYLINDER }, 0);
        } else {
            self.busy(at, SECTOR_NS, Then::Sector);
        }
    }

    /// READ ID: the next sector that comes by, which depends on the time.
    pub(super) fn id(&mut self, ctx: &mut Ctx, at: Time) {
        match self.diskette(ctx) {
            Err((st1, st2)) => self.end(st1, st2),
            Ok((geometry, _)) => {
                let r = (at.0 / SECTOR_NS % u64::from(geometry.sectors)) as u8 + 1;
                let cylinder = self.drives[usize::from(self.transfer.drive)].cylinder;
                self.transfer.id = [cylinder, self.transfer.head, r, SIZE_512];
                self.end(0, 0);
            }
        }
    }

    /// The result phase, with its interrupt. What stands in ST1 makes the end an abnormal one.
    pub(super) fn end(&mut self, st1: u8, st2: u8) {
        let t = &self.transfer;
        let failed = st1 != 0 || st2 != 0;
        let st0 = t.head << 2 | t.drive | if failed { st0::ABNORMAL } else { 0 };
        let [c, h, r, n] = t.id;
        let result = [st0, st1, st2 | t.st2, c, h, r, n];
        self.buffer.clear();
        self.position = 0;
        self.transfer = Transfer::default();
        self.answer(&result);
        self.interrupt = true;
    }
}

/// Writes to the diskette; a host that can't is a fault of the data.
fn write(ctx: &mut Ctx, slot: usize, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    let written = ctx.host.medium(slot).is_some_and(|m| m.write(offset, bytes).is_ok());
    if written { Ok(()) } else { Err((st1::DATA_ERROR, st2::DATA_ERROR)) }
}
