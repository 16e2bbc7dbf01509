//! A CD-ROM drive's packet commands (SFF-8020i 2.6, MMC-3): one data track of 2,048-byte blocks, as an ISO image has it.
//! It plays no audio. Tables about the disc and the drive are in `media_info.rs`, raw sectors are made in `raw.rs`.

use super::atapi::Reply;
use super::media_info as info;
use super::raw::{self, Layout};
use super::sense::{self, Sense};
use crate::{Ctx, Medium};
use serde::{Deserialize, Serialize};

/// Bytes in a block.
pub(super) const BLOCK: u64 = 2048;

/// A CD-ROM drive's state, without the disc's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cd {
    pub(super) serial: String,
    pub(super) dma_mode: u8,
    pub(super) standby: bool,
    pub(super) identifying: bool, // the command under way is an ATA command, not a packet
    pub(super) sense: Sense,
    pub(super) reply: Reply,
    pub(super) tray_open: bool,
    pub(super) locked: bool,
    pub(super) event: Event,
    woken: bool,   // unit attention: power-on, not reported yet
    changed: bool, // unit attention: another medium, not reported yet
}

/// What happened to the medium since the host last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    #[default]
    Nothing = 0,
    New = 2,
    Removed = 3,
}

/// What a packet yields.
pub(super) enum Answer {
    Done,
    Bytes(Vec<u8>),
    Sectors { first: u32, count: u32, layout: Layout },
}

/// Where an answer's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    Bytes(Vec<u8>),
    Sectors { first: u32, layout: Layout },
}

impl Default for Source {
    fn default() -> Self {
        Source::Bytes(Vec::new())
    }
}

impl Source {
    /// The bytes from `offset` on; whether they could be read.
    pub fn fill(&self, medium: Option<&mut dyn Medium>, offset: u64, to: &mut [u8]) -> bool {
        match self {
            Source::Bytes(bytes) => {
                let at = offset as usize;
                bytes.get(at..at + to.len()).is_some_and(|from| {
                    to.copy_from_slice(from);
                    true
                })
            }
            Source::Sectors { first, layout } => {
                medium.is_some_and(|m| raw::read(m, *first, *layout, offset, to))
            }
        }
    }
}

impl Cd {
    /// A drive with its tray closed.
    pub fn new(serial: &str) -> Cd {
        Cd {
            serial: serial.chars().filter(char::is_ascii_graphic).take(20).collect(),
            dma_mode: 0x22,
            standby: false,
            identifying: false,
            sense: sense::NONE,
            reply: Reply::default(),
            tray_open: false,
            locked: false,
            event: Event::Nothing,
            woken: true,
            changed: false,
        }
    }

    /// Whether the guest has opened the tray.
    pub fn tray_open(&self) -> bool {
        self.tray_open
    }

    /// Whether the guest holds the tray locked.
    pub fn locked(&self) -> bool {
        self.locked
    }

    pub(super) fn power_on(&mut self) {
        *self = Cd { tray_open: self.tray_open, ..Cd::new(&self.serial) };
    }

    pub(super) fn soft_reset(&mut self) {
        self.reply = Reply::default();
        self.identifying = false;
        self.standby = false;
        self.sense = sense::NONE;
    }

    /// The medium has been changed from outside; the tray is closed then.
    pub(super) fn medium_changed(&mut self, present: bool) {
        self.tray_open = false;
        self.changed = present;
        self.event = if present { Event::New } else { Event::Removed };
    }

    /// Blocks on the medium, if one can be read.
    pub(super) fn blocks(&self, ctx: &mut Ctx, slot: usize) -> Option<u32> {
        if self.tray_open {
            return None;
        }
        let blocks = ctx.host.medium(slot)?.len().div_ceil(BLOCK);
        u32::try_from(blocks).ok().filter(|&n| n != 0)
    }

    /// Executes a packet with `blocks` blocks on the medium.
    pub(super) fn execute(&mut self, p: &[u8; 12], blocks: Option<u32>) -> Result<Answer, Sense> {
        const REQUEST_SENSE: u8 = 0x03;
        if p[0] == REQUEST_SENSE {
            return self.request_sense(p);
        }
        self.sense = sense::NONE;
        if !matches!(p[0], 0x12 | 0x46 | 0x4a)
            && let Some(attention) = self.take_attention()
        {
            return Err(attention);
        }
        let no_medium =
            if self.tray_open { sense::NO_MEDIUM_TRAY_OPEN } else { sense::NO_MEDIUM_TRAY_CLOSED };
        let need = blocks.ok_or(no_medium);
        match p[0] {
            0x00 => need.map(|_| Answer::Done),
            0x12 => info::inquiry(p).map(|d| bytes(d, u16::from(p[4]))),
            0x1a => info::mode_sense(self, p, blocks.is_some()).map(|d| bytes(d, u16::from(p[4]))),
            0x5a => info::mode_sense(self, p, blocks.is_some()).map(|d| bytes(d, be16(p, 7))),
            0x1b => self.start_stop(p, need),
            0x1e => {
                self.locked = p[4] & 1 != 0;
                Ok(Answer::Done)
            }
            0x25 => need.map(|n| bytes([(n - 1).to_be_bytes(), 2048u32.to_be_bytes()].concat(), 8)),
            0x28 => sectors(need?, be32(p, 2), u32::from(be16(p, 7)), Layout::COOKED),
            0xa8 => sectors(need?, be32(p, 2), be32(p, 6), Layout::COOKED),
            0xbe => self.read_cd(p, need?, be32(p, 2), be24(p, 6)),
            0xb9 => self.read_cd_msf(p, need?),
            0x2b => sectors(need?, be32(p, 2), 0, Layout::COOKED),
            0x42 => info::sub_channel(p).and_then(|d| need.map(|_| bytes(d, be16(p, 7)))),
            0x43 => info::toc(p, need?).map(|d| bytes(d, be16(p, 7))),
            0x44 => info::header(p, need?).map(|d| bytes(d, be16(p, 7))),
            0x46 => info::configuration(p, blocks).map(|d| bytes(d, be16(p, 7))),
            0x4a => self.events(p, blocks.is_some()),
            0x51 => need.map(|_| bytes(info::disc(), be16(p, 7))),
            0x52 => info::track(p, need?).map(|d| bytes(d, be16(p, 7))),
            0xad => info::dvd_structure(p, need?).map(|d| bytes(d, be16(p, 8))),
            0xbd => Ok(bytes(info::mechanism(self), be16(p, 8))),
            0x35 | 0x4e | 0xbb => Ok(Answer::Done), // SYNCHRONIZE CACHE, STOP PLAY, SET CD SPEED
            0x45 | 0x47 | 0x48 | 0x4b | 0xa5 => need.and(Err(sense::ILLEGAL_MODE)), // audio
            _ => Err(sense::INVALID_OPCODE),
        }
    }

    fn take_attention(&mut self) -> Option<Sense> {
        if std::mem::take(&mut self.woken) {
            Some(sense::POWER_ON)
        } else {
            std::mem::take(&mut self.changed).then_some(sense::MEDIUM_MAY_HAVE_CHANGED)
        }
    }

    fn request_sense(&mut self, p: &[u8; 12]) -> Result<Answer, Sense> {
        let mut current = std::mem::take(&mut self.sense);
        if current == sense::NONE {
            current = self.take_attention().unwrap_or(sense::NONE);
        }
        Ok(bytes(current.data(), u16::from(p[4])))
    }

    fn start_stop(&mut self, p: &[u8; 12], need: Result<u32, Sense>) -> Result<Answer, Sense> {
        if p[4] & 0xf0 != 0 {
            return Ok(Answer::Done); // power condition
        }
        match p[4] & 3 {
            1 => return need.map(|_| Answer::Done), // spin up
            2 if self.locked => return Err(sense::REMOVAL_PREVENTED),
            2 if !self.tray_open => {
                self.tray_open = true;
                self.event = Event::Removed;
            }
            3 if self.tray_open => {
                self.tray_open = false;
                self.changed = true;
                self.event = Event::New;
            }
            _ => {}
        }
        Ok(Answer::Done)
    }

    /// GET EVENT STATUS NOTIFICATION, polled, media class only.
    fn events(&mut self, p: &[u8; 12], present: bool) -> Result<Answer, Sense> {
        const MEDIA: u8 = 4;
        if p[1] & 1 == 0 {
            return Err(sense::INVALID_FIELD);
        }
        let length = be16(p, 7);
        if p[4] & 1 << MEDIA == 0 {
            return Ok(bytes(vec![0, 2, 0x80, 1 << MEDIA], length)); // no event of a class that was asked for
        }
        let status = u8::from(self.tray_open) | u8::from(present) << 1;
        let event = if length > 4 { std::mem::take(&mut self.event) } else { Event::Nothing };
        Ok(bytes(vec![0, 6, MEDIA, 1 << MEDIA, event as u8, status, 0, 0], length))
    }

    fn read_cd(&self, p: &[u8; 12], blocks: u32, first: u32, count: u32) -> Result<Answer, Sense> {
        let kind = p[1] >> 2 & 7; // expected sector type: any or mode 1
        if kind > 2 || kind == 1 {
            return Err(sense::ILLEGAL_MODE);
        }
        if p[10] & 7 != 0 || p[9] & 0x06 != 0 {
            return Err(sense::INVALID_FIELD); // no sub-channels, no C2 pointers
        }
        sectors(blocks, first, count, Layout::from_flags(p[9]))
    }

    fn read_cd_msf(&self, p: &[u8; 12], blocks: u32) -> Result<Answer, Sense> {
        let first = info::lba(p[3], p[4], p[5]).ok_or(sense::INVALID_FIELD)?;
        let end = info::lba(p[6], p[7], p[8]).ok_or(sense::INVALID_FIELD)?;
        let count = end.checked_sub(first).ok_or(sense::INVALID_FIELD)?;
        self.read_cd(p, blocks, first, count)
    }
}

fn sectors(blocks: u32, first: u32, count: u32, layout: Layout) -> Result<Answer, Sense> {
    if u64::from(first) + u64::from(count) > u64::from(blocks) || first >= blocks {
        return Err(sense::OUT_OF_RANGE);
    }
    Ok(if count == 0 || layout.size() == 0 { Answer::Done } else { Answer::Sectors { first, count, layout } })
}

/// An answer cut to the host's allocation length.
fn bytes(mut data: Vec<u8>, allocation: u16) -> Answer {
    data.truncate(usize::from(allocation));
    if data.is_empty() { Answer::Done } else { Answer::Bytes(data) }
}

pub(super) fn be16(p: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([p[at], p[at + 1]])
}

pub(super) fn be24(p: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([0, p[at], p[at + 1], p[at + 2]])
}

pub(super) fn be32(p: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([p[at], p[at + 1], p[at + 2], p[at + 3]])
}
