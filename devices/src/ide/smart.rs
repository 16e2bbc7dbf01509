//! SMART of a disk that never fails (ATA/ATAPI-6, 8.54): status, an attribute table with one attribute, thresholds.

use super::disk::{Disk, SECTOR};
use super::interface::{Interface, error};
use crate::Time;

const KEY: (u8, u8) = (0x4f, 0xc2); // what LBA mid and high must hold

pub(super) fn command(disk: &mut Disk, port: &mut Interface, now: Time) {
    let what = port.task.features.now;
    if (port.task.mid.now, port.task.high.now) != KEY || !disk.smart && what != 0xd8 {
        return port.fail(error::ABRT);
    }
    match what {
        0xd0 => return disk.offer(port, now, data()),
        0xd1 => return disk.offer(port, now, thresholds()),
        0xd2 if matches!(port.task.count.now, 0x00 | 0xf1) => disk.smart_saves = port.task.count.now != 0,
        0xd3 => {} // save attribute values
        0xd4 if matches!(port.task.low.now, 0 | 1 | 2 | 0x7f | 0x81 | 0x82) => {} // self-tests: they pass
        0xd8 => disk.smart = true,
        0xd9 => disk.smart = false,
        0xda => {} // return status: the key unchanged means that no threshold is exceeded
        _ => return port.fail(error::ABRT),
    }
    disk.quickly(port, now);
}

fn seal(mut sector: Vec<u8>) -> Vec<u8> {
    let sum = sector.iter().fold(0u8, |a, &b| a.wrapping_add(b));
    sector[SECTOR - 1] = sum.wrapping_neg();
    sector
}

fn data() -> Vec<u8> {
    let mut s = vec![0; SECTOR];
    s[0] = 0x10; // structure revision
    // Attribute 5, reallocated sectors: pre-failure, online, at its best.
    s[2..14].copy_from_slice(&[5, 0x03, 0, 100, 100, 0, 0, 0, 0, 0, 0, 0]);
    s[362] = 0x02; // off-line collection completed without error
    s[364] = 1;
    s[367] = 0x1b; // off-line, self-test and abort supported
    s[368] = 0x03; // saves attributes
    s[372] = 1;
    s[373] = 1;
    seal(s)
}

fn thresholds() -> Vec<u8> {
    let mut s = vec![0; SECTOR];
    s[0] = 0x10;
    s[2..4].copy_from_slice(&[5, 36]);
    seal(s)
}
