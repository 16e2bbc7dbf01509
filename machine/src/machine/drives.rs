//! Puts drives into the machine and media into the drives.

use crate::board::outside::{FLOPPY_SLOT, SLOTS};
use crate::config::{Config, ConfigError, Drive, DriveKind};
use crate::media::{Access, Format, Image, Shape};
use lucid86_devices::Medium;
use lucid86_devices::ide::{Cd, Disk, Unit};
use std::path::PathBuf;

/// The drives of a machine, with their media.
#[derive(Default)]
pub struct Drives {
    /// IDE units hda to hdd.
    pub units: [Option<Unit>; 4],
    /// Media, by slot.
    pub media: [Option<Image>; SLOTS],
}

/// Opens what the configuration names.
pub fn open(config: &Config) -> Result<Drives, ConfigError> {
    let mut drives = Drives::default();
    let names = ["hda", "hdb", "hdc", "hdd"];
    for (i, path) in config.hd.iter().enumerate() {
        if let Some(path) = path {
            drives
                .put(config, i, &disk(path.clone()))
                .map_err(|e| ConfigError(format!("{}: {e}", names[i])))?;
        }
    }
    if let Some(path) = &config.cdrom {
        let cd = Drive { kind: DriveKind::Cd, ..disk(path.clone()) };
        drives.put(config, 2, &cd).map_err(|e| ConfigError(format!("cdrom: {e}")))?;
    }
    for (i, path) in config.fd.iter().enumerate() {
        if let Some(path) = path {
            let floppy = Drive { kind: DriveKind::Floppy, ..disk(path.clone()) };
            drives.put(config, FLOPPY_SLOT + i, &floppy).map_err(|e| ConfigError(format!("floppy: {e}")))?;
        }
    }
    if let (Some(bytes), None) = (&config.built_in_floppy, &config.fd[0]) {
        drives.media[FLOPPY_SLOT] = Some(Image::from_bytes(bytes.clone(), Shape::Floppy)?);
    }
    for d in &config.drive {
        let slots = match d.kind {
            DriveKind::Floppy => FLOPPY_SLOT..SLOTS,
            _ => 0..4,
        };
        let mut free = slots.filter(|s| drives.media[*s].is_none());
        let slot = match d.kind {
            // A CD goes where it is looked for, if it can.
            DriveKind::Cd => free.clone().find(|s| *s == 2).or_else(|| free.next()),
            _ => free.next(),
        };
        let slot = slot.ok_or_else(|| {
            ConfigError("drive: there is no free place: 4 IDE drives and 2 floppies".into())
        })?;
        drives.put(config, slot, d).map_err(|e| ConfigError(format!("drive: {e}")))?;
    }
    Ok(drives)
}

fn disk(file: PathBuf) -> Drive {
    Drive { file, kind: DriveKind::Disk, format: None, read_only: false }
}

impl Drives {
    fn put(&mut self, config: &Config, slot: usize, drive: &Drive) -> Result<(), ConfigError> {
        let format = match drive.format.as_deref() {
            Some(name) => Some(
                Format::from_name(name)
                    .ok_or_else(|| ConfigError(format!("format={name}: not in this version")))?,
            ),
            None => None,
        };
        let shape = match drive.kind {
            DriveKind::Disk => Shape::Disk,
            DriveKind::Cd => Shape::Cd,
            DriveKind::Floppy => Shape::Floppy,
        };
        let access = Access { read_only: drive.read_only, discard_writes: config.discard_writes, format };
        let image = Image::open(&drive.file, shape, access)?;
        let serial = format!("L86-{slot:05}");
        match drive.kind {
            DriveKind::Disk => self.units[slot] = Some(Unit::Disk(Disk::new(image.len(), &serial))),
            DriveKind::Cd => self.units[slot] = Some(Unit::Cd(Cd::new(&serial))),
            DriveKind::Floppy => {}
        }
        self.media[slot] = Some(image);
        Ok(())
    }
}
