//! Disk, CD and floppy images: what lies behind the drives.
//!
//! An [`Image`] is a file (or bytes in memory) made to look like a medium of a whole size. A write goes straight to the
//! file, so that what a guest has written survives the end of the process however it comes; a flush waits for the
//! host's disk. With *discarded* writes the file is only read and what the guest writes stays in an overlay in memory.
//! Either way the image knows which sectors have been written: their hash is part of the state hash, and their contents
//! are the disk's part of a snapshot.

mod format;
mod journal;
mod overlay;
mod raw;
mod saved;
#[cfg(test)]
mod tests;
mod written;

pub use format::Format;
pub(crate) use journal::Mark;
pub use saved::SavedMedium;

use crate::ConfigError;
use lucid86_devices::Medium;
use lucid86_devices::floppy::Geometry;
use overlay::Overlay;
use std::io;
use std::path::Path;
use written::Written;

/// Bytes of a sector, the unit in which writes are remembered.
const SECTOR: u64 = 512;

/// What kind of medium an image is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A hard disk: whole sectors, zeros behind the file's end.
    Disk,
    /// A CD: read only.
    Cd,
    /// A diskette of a standard format: zeros behind the file's end.
    Floppy,
}

/// How an image may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Writes are refused.
    pub read_only: bool,
    /// Writes go to memory and end with the process.
    pub discard_writes: bool,
    /// The file's format; `None`: told by content.
    pub format: Option<Format>,
}

/// A medium.
pub struct Image {
    base: Box<dyn Medium + Send>,
    len: u64,
    read_only: bool,
    overlay: Option<Overlay>, // writes that are kept from the base
    undo: Option<Overlay>,    // what the base held before it was written
    written: Written,
    journal: Option<journal::Journal>, // for going back in time
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image of {} bytes", self.len)
    }
}

impl Image {
    /// Opens an image file.
    pub fn open(path: &Path, shape: Shape, access: Access) -> Result<Image, ConfigError> {
        let say = |why: String| ConfigError(format!("{}: {why}", path.display()));
        let writable = shape != Shape::Cd && !access.read_only && !access.discard_writes;
        let file = match format::open(path, access.format, writable) {
            // A diskette that can't be written is a write-protected one.
            Err(e) if shape == Shape::Floppy && writable && is_protection(&e) => {
                format::open(path, access.format, false)
            }
            Err(e) if writable && is_protection(&e) => {
                return Err(say(format!("{e}: to use it as it is, give --discard-writes")));
            }
            other => other,
        };
        let file = file.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => say("no such file".into()),
            io::ErrorKind::PermissionDenied => say("no permission to read it".into()),
            _ => say(e.to_string()),
        })?;
        let protected = file.read_only();
        let mut image = Image::over(file, shape).map_err(say)?;
        image.overlay = (access.discard_writes && shape != Shape::Cd).then(Overlay::default);
        image.read_only = access.read_only || shape == Shape::Cd || protected && image.overlay.is_none();
        Ok(image)
    }

    /// An image in memory; writes stay there.
    pub fn from_bytes(bytes: Vec<u8>, shape: Shape) -> Result<Image, ConfigError> {
        let mut image = Image::over(Box::new(raw::Bytes(bytes)), shape)
            .map_err(|why| ConfigError(format!("image: {why}")))?;
        image.overlay = (shape != Shape::Cd).then(Overlay::default);
        image.read_only = shape == Shape::Cd;
        Ok(image)
    }

    /// An image over any store of bytes; a line on why its size won't do.
    fn over(base: Box<dyn Medium + Send>, shape: Shape) -> Result<Image, String> {
        let bytes = base.len();
        let len = match shape {
            _ if bytes == 0 => return Err("is empty: an image has one sector of 512 bytes at least".into()),
            Shape::Disk => bytes.checked_next_multiple_of(SECTOR).ok_or("is too large for a disk")?,
            Shape::Cd => bytes.checked_next_multiple_of(2048).ok_or("is too large for a CD")?,
            Shape::Floppy => Geometry::of(bytes)
                .ok_or_else(|| {
                    format!("{bytes} bytes are too many for a floppy: the largest has 2949120 (2.88 MB)")
                })?
                .bytes(),
        };
        Ok(Image {
            base,
            len,
            read_only: false,
            overlay: None,
            undo: None,
            written: Written::default(),
            journal: None,
        })
    }

    /// Whether writes end with the process.
    pub fn discards_writes(&self) -> bool {
        self.overlay.is_some()
    }

    /// From now on keeps what sectors held before they were written, so that [`Image::load`] can go back.
    pub fn keep_undo(&mut self) {
        self.undo.get_or_insert_default();
    }

    /// Hash of all sectors written so far, in the order of their offsets; 0 if there are none.
    pub fn written_hash(&mut self) -> u64 {
        let mut written = std::mem::take(&mut self.written);
        let hash = written.hash(|offset, to| self.read(offset, to));
        self.written = written;
        hash
    }

    /// Reads what the medium holds at present.
    fn read_present(&mut self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        match &self.overlay {
            Some(overlay) => overlay.read(offset, to, |o, t| Image::read_base(&mut *self.base, o, t)),
            None => Image::read_base(&mut *self.base, offset, to),
        }
    }

    fn write_through(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        if let Some(overlay) = &mut self.overlay {
            overlay.write(offset, from, |o, t| Image::read_base(&mut *self.base, o, t))?;
        } else {
            if let Some(undo) = &mut self.undo {
                undo.keep(offset, from.len(), |o, t| Image::read_base(&mut *self.base, o, t))?;
            }
            // Noted before: a write that fails may have changed something.
            self.written.note(offset, from.len());
            self.base.write(offset, from)?;
        }
        self.written.note(offset, from.len());
        Ok(())
    }

    fn check(&self, offset: u64, bytes: usize) -> io::Result<()> {
        let fits = offset.checked_add(bytes as u64).is_some_and(|end| end <= self.len);
        if fits {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "past the end of the medium"))
        }
    }

    fn read_base(base: &mut dyn Medium, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let there = base.len().saturating_sub(offset).min(to.len() as u64) as usize;
        to[there..].fill(0);
        if there == 0 { Ok(()) } else { base.read(offset, &mut to[..there]) }
    }
}

fn is_protection(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

impl Medium for Image {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&mut self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.check(offset, to.len())?;
        match self.read_past(offset, to) {
            Some(done) => done,
            None => self.read_present(offset, to),
        }
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.check(offset, from.len())?;
        if self.read_only {
            return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the medium is write-protected"));
        }
        if let Some(done) = self.write_past(offset, from) {
            self.written.note(offset, from.len());
            return done;
        }
        self.keep_old(offset, from.len())?;
        self.write_through(offset, from)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.overlay.is_some() || self.read_only { Ok(()) } else { self.base.flush() }
    }
}
