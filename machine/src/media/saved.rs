//! A medium's part of a snapshot: which image it was (a fingerprint of what was never written) and what was written.

use super::{Image, Overlay, SECTOR, Written};
use lucid86_devices::Medium;
use serde::{Deserialize, Serialize};
use std::io;
use xxhash_rust::xxh3::Xxh3;

const SAMPLES: u64 = 64;
const SAMPLE: u64 = 4096;

/// What was written to a medium, and of which image it was written over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedMedium {
    len: u64,
    fingerprint: u64,
    runs: Vec<(u64, Vec<u8>)>, // offset and contents, ascending
}

impl SavedMedium {
    /// Bytes of contents.
    pub fn bytes(&self) -> usize {
        self.runs.iter().map(|(_, b)| b.len()).sum()
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.runs.iter().map(|(o, b)| (o / SECTOR, b.len() as u64 / SECTOR)).collect()
    }
}

impl Image {
    /// What was written so far.
    pub fn save(&mut self) -> io::Result<SavedMedium> {
        let ranges = self.written.runs();
        let mut runs = Vec::new();
        for &(first, n) in &ranges {
            let mut bytes = vec![0; (n * SECTOR) as usize];
            self.read(first * SECTOR, &mut bytes)?;
            runs.push((first * SECTOR, bytes));
        }
        Ok(SavedMedium { len: self.len, fingerprint: self.fingerprint(&ranges)?, runs })
    }

    /// Goes back or forward to what was saved; a line on why it can't be.
    pub fn load(&mut self, saved: &SavedMedium) -> Result<(), String> {
        if saved.len != self.len {
            return Err(format!("the image has {} bytes, the saved one had {}", self.len, saved.len));
        }
        let sane = saved.runs.iter().all(|(offset, bytes)| {
            offset % SECTOR == 0
                && (bytes.len() as u64).is_multiple_of(SECTOR)
                && self.check(*offset, bytes.len()).is_ok()
        });
        if !sane {
            return Err("the saved state is damaged".into());
        }
        if !self.can_roll_back() && !self.written.within(&saved.ranges()) {
            return Err(
                "the image has been written since the state was saved, and what it held is lost".into()
            );
        }
        let wrong = |e: io::Error| format!("the image can't be restored: {e}");
        self.roll_back().map_err(wrong)?;
        if self.fingerprint(&saved.ranges()).map_err(wrong)? != saved.fingerprint {
            return Err("the image is not the one that the state was saved with, or has changed since".into());
        }
        for (offset, bytes) in &saved.runs {
            self.write(*offset, bytes).map_err(wrong)?;
        }
        Ok(())
    }

    fn can_roll_back(&self) -> bool {
        self.overlay.is_some() || self.undo.is_some()
    }

    /// Undoes all writes as far as they can be.
    fn roll_back(&mut self) -> io::Result<()> {
        if let Some(overlay) = &mut self.overlay {
            *overlay = Overlay::default();
        } else if let Some(undo) = &self.undo {
            for (offset, bytes) in undo.blocks() {
                let n = self.len.saturating_sub(offset).min(bytes.len() as u64) as usize;
                self.base.write(offset, &bytes[..n])?;
            }
            self.undo = Some(Overlay::default());
        }
        self.written = Written::default();
        Ok(())
    }

    /// Hash of samples spread over the image, without the given runs of sectors.
    fn fingerprint(&mut self, without: &[(u64, u64)]) -> io::Result<u64> {
        let mut h = Xxh3::new();
        let mut bytes = vec![0; SAMPLE as usize];
        for i in 0..SAMPLES {
            let offset = (self.len / SAMPLES * i) / SECTOR * SECTOR;
            let n = (self.len - offset).min(SAMPLE) as usize;
            self.read(offset, &mut bytes[..n])?;
            for (k, sector) in bytes[..n].chunks(SECTOR as usize).enumerate() {
                let number = offset / SECTOR + k as u64;
                let before = without.partition_point(|&(first, _)| first <= number);
                let written = before > 0 && number < without[before - 1].0 + without[before - 1].1;
                if !written {
                    h.update(&number.to_le_bytes());
                    h.update(sector);
                }
            }
        }
        Ok(h.digest())
    }
}
