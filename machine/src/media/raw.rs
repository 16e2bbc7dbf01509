//! The bytes of a file as they are, or bytes in memory.

use lucid86_devices::Medium;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

/// An open image file. While it is open for writing nobody else who asks may open it.
pub struct RawFile {
    file: File,
    len: u64,
    writable: bool,
}

impl RawFile {
    /// Opens a file and locks it: alone for writing, with others for reading.
    pub fn open(path: &Path, writable: bool) -> io::Result<RawFile> {
        let mut file = OpenOptions::new().read(true).write(writable).open(path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::Error::other("is a folder: give an image"));
        }
        lock(&file, writable)?;
        let len = file.seek(SeekFrom::End(0))?; // also right for block devices
        Ok(RawFile { file, len, writable })
    }
}

/// An advisory lock. A file system without locks is no reason to refuse.
fn lock(file: &File, writable: bool) -> io::Result<()> {
    let locked = if writable { file.try_lock() } else { file.try_lock_shared() };
    match locked {
        Err(TryLockError::WouldBlock) => {
            let how =
                if writable { "is in use by another machine" } else { "is being written by another machine" };
            Err(io::Error::new(io::ErrorKind::ResourceBusy, how))
        }
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

#[cfg(unix)]
fn read_at(file: &mut File, offset: u64, to: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, offset)
}

#[cfg(unix)]
fn write_at(file: &mut File, offset: u64, from: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, from, offset)
}

#[cfg(not(unix))]
fn read_at(file: &mut File, offset: u64, to: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    io::Read::read_exact(file, to)
}

#[cfg(not(unix))]
fn write_at(file: &mut File, offset: u64, from: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    io::Write::write_all(file, from)
}

impl Medium for RawFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_only(&self) -> bool {
        !self.writable
    }

    fn read(&mut self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        read_at(&mut self.file, offset, to)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        write_at(&mut self.file, offset, from)?;
        self.len = self.len.max(offset + from.len() as u64);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Bytes in memory, only read.
pub struct Bytes(pub Vec<u8>);

impl Medium for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&mut self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|o| self.0.get(o..o.checked_add(to.len())?));
        to.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&mut self, _offset: u64, _from: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
