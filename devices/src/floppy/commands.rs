//! The command set (82077AA datasheet, chapter 5): how long each command is and what those do that move no data.

use super::transfer::{Operation, Transfer};
use super::{Direction, Floppy, PULSE_NS, Phase, Seek, Then};
use crate::{Ctx, Time};

/// Status register 0.
pub(super) mod st0 {
    pub const ABNORMAL: u8 = 0x40;
    pub const INVALID: u8 = 0x80;
    pub const SEEK_END: u8 = 0x20;
    pub const EQUIPMENT_CHECK: u8 = 0x10;
}

const LAST_CYLINDER: u8 = 83; // where the head's stop is
const PULSES: u8 = 79; // that RECALIBRATE sends
const SEEK_NS: u64 = 100_000;
const MULTI_TRACK: u8 = 0x80;

/// What a first byte asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Data(Operation),
    Format,
    ReadId,
    Specify,
    SenseDrive,
    SenseInterrupt,
    Recalibrate,
    Seek,
    RelativeSeek,
    DumpRegisters,
    Version,
    Perpendicular,
    Configure,
    Lock,
    Invalid,
}

/// The options MT, MFM and SK are the top bits, where a command has them.
fn decode(first: u8) -> Command {
    use Command::*;
    match (first & 0x1f, first & 0xe0) {
        (0x06, _) => Data(Operation::Read),
        (0x0c, _) => Data(Operation::ReadDeleted),
        (0x05, 0 | 0x40 | 0x80 | 0xc0) => Data(Operation::Write),
        (0x09, 0 | 0x40 | 0x80 | 0xc0) => Data(Operation::Write),
        (0x02, 0 | 0x20 | 0x40 | 0x60) => Data(Operation::ReadTrack),
        (0x16, _) => Data(Operation::Verify),
        (0x11, _) => Data(Operation::ScanEqual),
        (0x19, _) => Data(Operation::ScanLow),
        (0x1d, _) => Data(Operation::ScanHigh),
        (0x0d, 0 | 0x40) => Format,
        (0x0a, 0 | 0x40) => ReadId,
        (0x03, 0) => Specify,
        (0x04, 0) => SenseDrive,
        (0x08, 0) => SenseInterrupt,
        (0x07, 0) => Recalibrate,
        (0x0f, 0) => Seek,
        (0x0f, 0x80 | 0xc0) => RelativeSeek,
        (0x0e, 0) => DumpRegisters,
        (0x10, 0) => Version,
        (0x12, 0) => Perpendicular,
        (0x13, 0) => Configure,
        (0x14, 0 | 0x80) => Lock,
        _ => Invalid, // PART ID (18h) among them: that came with the 82078
    }
}

/// Bytes of the command that starts with `first`.
pub(super) fn length(first: u8) -> usize {
    match decode(first) {
        Command::Data(_) => 9,
        Command::Format => 6,
        Command::Configure => 4,
        Command::Specify | Command::Seek | Command::RelativeSeek => 3,
        Command::ReadId | Command::SenseDrive | Command::Recalibrate | Command::Perpendicular => 2,
        _ => 1,
    }
}

impl Floppy {
    /// Executes the command that has come in whole.
    pub(super) fn execute(&mut self, ctx: &mut Ctx) {
        let bytes = std::mem::take(&mut self.command);
        let mut c = [0; 9];
        c[..bytes.len()].copy_from_slice(&bytes);
        let index = usize::from(c[1] & 3);
        let head = c[1] >> 2 & 1;
        match decode(c[0]) {
            Command::Data(operation) => self.start(ctx, operation, c),
            Command::Format => self.start_format(ctx.now, c),
            Command::ReadId => {
                self.transfer = Transfer { drive: index as u8, head, ..Transfer::default() };
                self.busy(ctx.now, PULSE_NS, Then::Id);
            }
            Command::Specify => self.specify = [c[1], c[2]],
            Command::SenseDrive => self.sense_drive(ctx, index, head),
            Command::SenseInterrupt => self.sense_interrupt(),
            Command::Recalibrate => self.recalibrate(ctx.now, index),
            Command::Seek => self.seek(ctx.now, index, head, c[2]),
            Command::RelativeSeek => self.relative_seek(ctx.now, index, head, c[0] & 0x40 != 0, c[2]),
            Command::DumpRegisters => self.dump_registers(),
            Command::Version => self.answer(&[0x90]),
            Command::Perpendicular => {
                const OVERWRITE: u8 = 0x80; // OW: the drives' bits may be changed
                let drives = if c[1] & OVERWRITE != 0 { c[1] & 0x3c } else { self.perpendicular & 0x3c };
                self.perpendicular = drives | c[1] & 3;
            }
            Command::Configure => {
                self.configure = c[2] & 0x7f;
                self.precompensation = c[3];
            }
            Command::Lock => {
                self.locked = c[0] & 0x80 != 0;
                self.answer(&[u8::from(self.locked) << 4]);
            }
            Command::Invalid => self.answer(&[st0::INVALID]),
        }
    }

    /// Gives result bytes without an interrupt.
    pub(super) fn answer(&mut self, result: &[u8]) {
        self.result = result.to_vec();
        self.phase = Phase::Result;
    }

    fn sense_drive(&mut self, ctx: &mut Ctx, index: usize, head: u8) {
        const READY: u8 = 0x20;
        const TRACK_0: u8 = 0x10;
        const TWO_SIDED: u8 = 0x08;
        const WRITE_PROTECTED: u8 = 0x40;
        let drive = &self.drives[index];
        let mut st3 = READY | TWO_SIDED | head << 2 | index as u8;
        if drive.connected && drive.cylinder == 0 {
            st3 |= TRACK_0;
        }
        if drive.connected && ctx.host.medium(drive.slot).is_some_and(|m| m.read_only()) {
            st3 |= WRITE_PROTECTED;
        }
        self.answer(&[st3]);
    }

    /// Tells of one drive whose seek has ended; without one it is an invalid command.
    fn sense_interrupt(&mut self) {
        self.interrupt = false;
        match self.drives.iter_mut().find(|d| d.ended.is_some()) {
            Some(drive) => {
                let st0 = drive.ended.take().unwrap_or(st0::INVALID);
                let pcn = drive.pcn;
                self.answer(&[st0, pcn]);
            }
            None => self.answer(&[st0::INVALID]),
        }
    }

    /// Steps outwards until the drive says track 0, at most 79 times.
    fn recalibrate(&mut self, now: Time, index: usize) {
        let drive = &self.drives[index];
        let to = if drive.connected { drive.cylinder.saturating_sub(PULSES) } else { drive.cylinder };
        let found = drive.connected && to == 0;
        let failed = st0::ABNORMAL | st0::EQUIPMENT_CHECK;
        let st0 = st0::SEEK_END | index as u8 | if found { 0 } else { failed };
        let pulses = if drive.connected { drive.cylinder - to } else { PULSES };
        self.step(now, index, to, pulses, st0);
        self.drives[index].pcn = 0;
    }

    /// As many pulses as the controller believes are needed, whatever the head meets.
    fn seek(&mut self, now: Time, index: usize, head: u8, to: u8) {
        let pcn = self.drives[index].pcn;
        self.relative_seek(now, index, head, to > pcn, to.abs_diff(pcn));
        self.drives[index].pcn = to;
    }

    fn relative_seek(&mut self, now: Time, index: usize, head: u8, inwards: bool, pulses: u8) {
        let drive = &mut self.drives[index];
        let to = match (drive.connected, inwards) {
            (false, _) => drive.cylinder,
            (true, true) => drive.cylinder.saturating_add(pulses).min(LAST_CYLINDER.max(drive.cylinder)),
            (true, false) => drive.cylinder.saturating_sub(pulses),
        };
        drive.pcn = if inwards { drive.pcn.wrapping_add(pulses) } else { drive.pcn.wrapping_sub(pulses) };
        self.step(now, index, to, pulses, st0::SEEK_END | head << 2 | index as u8);
    }

    fn step(&mut self, now: Time, index: usize, to: u8, pulses: u8, st0: u8) {
        let until = Time(now.0.saturating_add(SEEK_NS + u64::from(pulses) * PULSE_NS));
        self.drives[index].seek = Some(Seek { until, to, st0 });
        self.drives[index].ended = None;
    }

    /// With implied seeks configured, a data command moves the head first.
    pub(super) fn implied_seek(&mut self, ctx: &mut Ctx, index: usize, to: u8) -> u64 {
        const EIS: u8 = 0x40;
        let drive = &mut self.drives[index];
        if self.configure & EIS == 0 || !drive.connected || drive.pcn == to {
            return 0;
        }
        let pulses = to.abs_diff(drive.pcn);
        let target = if to > drive.pcn {
            drive.cylinder.saturating_add(pulses).min(LAST_CYLINDER.max(drive.cylinder))
        } else {
            drive.cylinder.saturating_sub(pulses)
        };
        if target != drive.cylinder && ctx.host.medium(drive.slot).is_some() {
            drive.changed = false;
        }
        (drive.cylinder, drive.pcn) = (target, to);
        SEEK_NS + u64::from(pulses) * PULSE_NS
    }

    fn dump_registers(&mut self) {
        let mut result = [0; 10];
        for (pcn, drive) in result.iter_mut().zip(&self.drives) {
            *pcn = drive.pcn;
        }
        result[4..6].copy_from_slice(&self.specify);
        result[6] = self.end_of_track;
        result[7] = u8::from(self.locked) << 7 | self.perpendicular & 0x3f;
        result[8] = self.configure;
        result[9] = self.precompensation;
        self.answer(&result);
    }

    fn start(&mut self, ctx: &mut Ctx, operation: Operation, c: [u8; 9]) {
        let drive = c[1] & 3;
        self.end_of_track = c[6];
        self.transfer = Transfer {
            operation,
            multi_track: c[0] & MULTI_TRACK != 0 && operation != Operation::ReadTrack,
            skip: c[0] & 0x20 != 0,
            drive,
            head: c[1] >> 2 & 1,
            // READ TRACK starts at the index hole.
            id: [c[2], c[3], if operation == Operation::ReadTrack { 1 } else { c[4] }, c[5]],
            last: c[6],
            data_length: c[8],
            // VERIFY ends after SC sectors if EC is set, else at the end of the track.
            count: match operation {
                Operation::Verify if c[1] & 0x80 != 0 => u16::from(c[8]),
                Operation::Verify => u16::MAX,
                Operation::ReadTrack => u16::from(c[6]),
                _ => 0,
            },
            ..Transfer::default()
        };
        let seeking = self.implied_seek(ctx, usize::from(drive), c[2]);
        self.busy(ctx.now, seeking + PULSE_NS, Then::Sector);
    }

    fn start_format(&mut self, now: Time, c: [u8; 9]) {
        self.end_of_track = c[3];
        self.transfer = Transfer {
            operation: Operation::Format,
            drive: c[1] & 3,
            head: c[1] >> 2 & 1,
            id: [0, 0, 0, c[2]],
            count: u16::from(c[3]),
            filler: c[5],
            ..Transfer::default()
        };
        self.busy(now, PULSE_NS, Then::Sector);
    }

    /// Bytes of the buffer have been moved.
    pub(super) fn moved(&mut self, now: Time, bytes: usize, terminal_count: bool) {
        self.position += bytes;
        self.transfer.stopped |= terminal_count;
        if self.position < self.buffer.len() && !terminal_count {
            return;
        }
        let Phase::Moving(direction) = self.phase else { return };
        match direction {
            // What terminal count left of a sector is zeros.
            Direction::FromMemory => self.busy(now, super::transfer::SECTOR_NS, Then::Store),
            Direction::ToMemory => self.after_sector(now),
        }
    }
}
