//! What a CD drive tells about itself and its disc: INQUIRY, mode pages, tables of contents, features, events (SFF-8020i
//! chapter 10, MMC-3 chapters 5 and 6). All are functions of the number of blocks; the disc has one data track in one closed session.

use super::cd::{Cd, be16, be32};
use super::sense::{self, Sense};

const DATA_TRACK: u8 = 0x14; // ADR 1, control 4
const LEAD_OUT: u8 = 0xaa;
/// Above this many blocks (80 minutes) a disc counts as a DVD.
const CD_BLOCKS: u32 = 80 * 60 * 75;
const DVD_ROM: u16 = 0x10;
const CD_ROM: u16 = 0x08;

/// Minute, second and frame of a block.
pub(super) fn msf(lba: u32) -> [u8; 3] {
    let frames = lba.saturating_add(150);
    [(frames / 75 / 60).min(255) as u8, (frames / 75 % 60) as u8, (frames % 75) as u8]
}

/// Block at minute, second and frame.
pub(super) fn lba(minute: u8, second: u8, frame: u8) -> Option<u32> {
    ((u32::from(minute) * 60 + u32::from(second)) * 75 + u32::from(frame)).checked_sub(150)
}

/// A block's address as the host wants it.
fn address(lba: u32, as_msf: bool) -> [u8; 4] {
    let [m, s, f] = msf(lba);
    if as_msf { [0, m, s, f] } else { lba.to_be_bytes() }
}

/// Puts a two-byte length of all that follows before `data`.
fn counted(data: Vec<u8>) -> Vec<u8> {
    let mut whole = (data.len() as u16).to_be_bytes().to_vec();
    whole.extend(data);
    whole
}

pub(super) fn inquiry(p: &[u8; 12]) -> Result<Vec<u8>, Sense> {
    if p[1] & 3 != 0 || p[2] != 0 {
        return Err(sense::INVALID_FIELD); // no vital product data
    }
    let mut data = vec![0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0];
    data.extend(b"LUCID86 CD-ROM          1.0 ");
    Ok(data)
}

/// MODE SENSE (6) and (10).
pub(super) fn mode_sense(cd: &Cd, p: &[u8; 12], present: bool) -> Result<Vec<u8>, Sense> {
    let changeable = match p[2] >> 6 {
        0 | 2 => false,
        1 => true,
        _ => return Err(sense::SAVING_NOT_SUPPORTED),
    };
    let mut pages = Vec::new();
    for (code, page) in [(0x01, error_recovery()), (0x0e, audio()), (0x2a, capabilities(cd))] {
        if p[2] & 0x3f == code || p[2] & 0x3f == 0x3f {
            let [length, rest @ ..] = page.as_slice() else { continue };
            pages.extend([code, *length]);
            pages.extend(rest.iter().map(|&b| if changeable { 0 } else { b }));
        }
    }
    if pages.is_empty() {
        return Err(sense::INVALID_FIELD);
    }
    let medium = match (present, cd.tray_open) {
        (true, _) => 0x01,
        (false, false) => 0x70,
        (false, true) => 0x71,
    };
    if p[0] == 0x1a {
        let mut data = vec![(pages.len() + 3) as u8, medium, 0, 0];
        data.extend(pages);
        return Ok(data);
    }
    let mut data = vec![medium, 0, 0, 0, 0, 0];
    data.extend(pages);
    Ok(counted(data))
}

fn error_recovery() -> Vec<u8> {
    vec![6, 0, 5, 0, 0, 0, 0]
}

fn audio() -> Vec<u8> {
    vec![0x0e, 4, 0, 0, 0, 0, 75, 1, 0xff, 2, 0xff, 0, 0, 0, 0]
}

fn capabilities(cd: &Cd) -> Vec<u8> {
    const SPEED: [u8; 2] = 4234u16.to_be_bytes(); // 24 times 176 kB/s
    let mut page = vec![20, 0x0b, 0, 0x70, 0]; // reads CD-R, CD-RW, DVD-ROM; mode 2 forms, multisession; no audio
    page.push(0x29 | u8::from(cd.locked) << 1); // tray that ejects and can be locked
    page.push(0);
    page.extend(SPEED);
    page.extend([0, 2]); // volume levels
    page.extend([2, 0]); // 512 KiB of buffer
    page.extend(SPEED);
    page.extend([0; 6]);
    page
}

pub(super) fn toc(p: &[u8; 12], blocks: u32) -> Result<Vec<u8>, Sense> {
    let as_msf = p[1] & 2 != 0;
    // MMC has the format in byte 2, SFF-8020i had it in the top of byte 9.
    let format = if p[2] & 15 != 0 { p[2] & 15 } else { p[9] >> 6 };
    match format {
        0 => tracks(p[6], blocks, as_msf),
        1 => {
            let mut data = vec![1, 1, 0, DATA_TRACK, 1, 0];
            data.extend(address(0, as_msf));
            Ok(counted(data))
        }
        2 => Ok(full_toc(blocks)),
        _ => Err(sense::INVALID_FIELD),
    }
}

fn tracks(from: u8, blocks: u32, as_msf: bool) -> Result<Vec<u8>, Sense> {
    if from > 1 && from != LEAD_OUT {
        return Err(sense::INVALID_FIELD);
    }
    let mut data = vec![1, 1];
    for (track, start) in [(1, 0), (LEAD_OUT, blocks)] {
        if from <= track {
            data.extend([0, DATA_TRACK, track, 0]);
            data.extend(address(start, as_msf));
        }
    }
    Ok(counted(data))
}

/// The lead-in's own entries: first track, last track, lead-out, track 1.
fn full_toc(blocks: u32) -> Vec<u8> {
    let mut data = vec![1, 1];
    for (point, [m, s, f]) in [(0xa0, [1, 0, 0]), (0xa1, [1, 0, 0]), (0xa2, msf(blocks)), (1, msf(0))] {
        data.extend([1, DATA_TRACK, 0, point, 0, 0, 0, 0, m, s, f]);
    }
    counted(data)
}

pub(super) fn header(p: &[u8; 12], blocks: u32) -> Result<Vec<u8>, Sense> {
    let at = be32(p, 2);
    if at >= blocks {
        return Err(sense::OUT_OF_RANGE);
    }
    let mut data = vec![1, 0, 0, 0];
    data.extend(address(at, p[1] & 2 != 0));
    Ok(data)
}

/// READ SUB-CHANNEL of a drive that plays nothing.
pub(super) fn sub_channel(p: &[u8; 12]) -> Result<Vec<u8>, Sense> {
    const NO_STATUS: u8 = 0x15;
    let data = match (p[2] & 0x40 != 0, p[3]) {
        (false, _) => vec![],
        (true, 1) => {
            let as_msf = p[1] & 2 != 0;
            let mut position = vec![1, DATA_TRACK, 1, 1];
            position.extend(address(0, as_msf));
            position.extend(if as_msf { [0; 4] } else { address(0, false) });
            position
        }
        (true, 2) => [&[2u8][..], &[0; 19]].concat(),
        (true, 3) if p[6] == 1 => [&[3, DATA_TRACK, 1][..], &[0; 17]].concat(),
        _ => return Err(sense::INVALID_FIELD),
    };
    let mut whole = vec![0, NO_STATUS];
    whole.extend(counted(data));
    Ok(whole)
}

pub(super) fn disc() -> Vec<u8> {
    let mut data = vec![0x0e, 1, 1, 1, 1, 0x20, 0, 0, 0, 0];
    data.extend([0; 4]); // disc identification
    data.extend([0xff; 8]); // last session's lead-in and last possible lead-out: none
    data.extend([0; 10]); // bar code, number of OPC tables
    counted(data)
}

pub(super) fn track(p: &[u8; 12], blocks: u32) -> Result<Vec<u8>, Sense> {
    let what = be32(p, 2);
    let exists = match p[1] & 3 {
        0 => what < blocks,
        1 | 2 => what == 1,
        _ => false,
    };
    if !exists {
        return Err(sense::INVALID_FIELD);
    }
    let mut data = vec![1, 1, 0, 0x04, 0x01, 0];
    data.extend(0u32.to_be_bytes()); // start
    data.extend([0; 12]); // next writable, free, packet size
    data.extend(blocks.to_be_bytes()); // size
    data.extend([0; 8]); // last recorded, track and session number's high bytes
    Ok(counted(data))
}

/// GET CONFIGURATION: the current profile and the features (MMC-3, 5.3).
pub(super) fn configuration(p: &[u8; 12], blocks: Option<u32>) -> Result<Vec<u8>, Sense> {
    let profile = match blocks {
        None => 0,
        Some(n) if n > CD_BLOCKS => DVD_ROM,
        Some(_) => CD_ROM,
    };
    let current = |wanted: u16| u8::from(profile == wanted);
    let [dvd, cd] = [DVD_ROM, CD_ROM].map(u16::to_be_bytes);
    let readable = u8::from(profile != 0);
    // Feature, version, persistent, current, data.
    let features: [(u16, u8, u8, u8, Vec<u8>); 7] = [
        (0x0000, 0, 1, 1, vec![dvd[0], dvd[1], current(DVD_ROM), 0, cd[0], cd[1], current(CD_ROM), 0]),
        (0x0001, 0, 1, 1, vec![0, 0, 0, 2]),    // core: ATAPI
        (0x0002, 0, 1, 1, vec![0, 0, 0, 0]),    // morphing
        (0x0003, 0, 1, 1, vec![0x29, 0, 0, 0]), // removable: tray, eject, lock
        (0x0010, 0, 0, readable, vec![0, 0, 8, 0, 0, 1, 0, 0]), // random readable, 2,048 bytes
        (0x001e, 0, 0, current(CD_ROM), vec![0, 0, 0, 0]), // CD read
        (0x001f, 0, 0, current(DVD_ROM), vec![]), // DVD read
    ];
    let start = be16(p, 2);
    let mut data = vec![0, 0];
    data.extend(profile.to_be_bytes());
    for (code, version, persistent, on, content) in features {
        let wanted = match p[1] & 3 {
            0 => code >= start,
            1 => code >= start && on != 0,
            2 => code == start,
            _ => return Err(sense::INVALID_FIELD),
        };
        if wanted {
            data.extend(code.to_be_bytes());
            data.extend([version << 2 | persistent << 1 | on, content.len() as u8]);
            data.extend(content);
        }
    }
    let mut whole = (data.len() as u32).to_be_bytes().to_vec();
    whole.extend(data);
    Ok(whole)
}

/// READ DVD STRUCTURE: physical format and copyright of a single-layer disc.
pub(super) fn dvd_structure(p: &[u8; 12], blocks: u32) -> Result<Vec<u8>, Sense> {
    if blocks <= CD_BLOCKS || p[6] != 0 {
        return Err(sense::INVALID_FIELD);
    }
    let mut data = vec![0, 0];
    match p[7] {
        0 => {
            let mut physical = vec![0x01, 0x0f, 0x01, 0x00]; // DVD-ROM, 120 mm, one layer
            physical.extend(0x0003_0000u32.to_be_bytes());
            physical.extend((0x0003_0000 + blocks - 1).to_be_bytes());
            physical.resize(2048, 0);
            data.extend(physical);
        }
        1 => data.extend([0, 0, 0, 0]),
        _ => return Err(sense::INVALID_FIELD),
    }
    Ok(counted(data))
}

pub(super) fn mechanism(cd: &Cd) -> Vec<u8> {
    vec![0, u8::from(cd.tray_open) << 4, 0, 0, 0, 1, 0, 0]
}
