//! Tells what a file is by its content: machine file, kernel, CD, floppy or disk image.

use crate::config::{ConfigError, unreadable};
use crate::media::Format;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What a file is.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    MachineFile,
    Kernel,
    Cd,
    Floppy,
    Disk,
}

/// Largest floppy: 2.88 MB.
const LARGEST_FLOPPY: u64 = 2880 * 1024;

/// Looks into the file.
pub fn kind_of_file(path: &Path) -> Result<FileKind, ConfigError> {
    let mut file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let meta = file.metadata().map_err(|e| unreadable(path, &e))?;
    if meta.is_dir() {
        return Err(ConfigError(format!("{}: is a folder: give an image or a kernel", path.display())));
    }
    let len = file.seek(SeekFrom::End(0)).map_err(|e| unreadable(path, &e))?;
    if len == 0 {
        return Err(ConfigError(format!(
            "{}: is empty: give an image, a kernel or a machine file",
            path.display()
        )));
    }
    let mut head = vec![0; len.min(0x9000) as usize];
    file.rewind().and_then(|()| file.read_exact(&mut head)).map_err(|e| unreadable(path, &e))?;
    if path.extension().is_some_and(|e| e == "toml") {
        return Ok(FileKind::MachineFile);
    }
    let formatted = Format::of_bytes(&head) != Format::Raw;
    if len < 512 && !formatted {
        return Err(ConfigError(format!(
            "{}: {len} bytes are too few for an image: the smallest has one sector of 512",
            path.display()
        )));
    }
    Ok(kind_of_bytes(&head, len))
}

/// As [`kind_of_file`], of the first bytes (36 KiB are enough) of a file of `len` bytes.
pub fn kind_of_bytes(head: &[u8], len: u64) -> FileKind {
    let at = |offset: usize, what: &[u8]| head.get(offset..offset + what.len()) == Some(what);
    let is_multiboot = || !at(0x1fe, b"\x55\xaa") && super::multiboot::find_header(head).is_some();
    if at(0x8001, b"CD001") {
        FileKind::Cd
    } else if at(0, b"\x7fELF") || at(0x202, b"HdrS") || is_multiboot() {
        FileKind::Kernel
    } else if len <= LARGEST_FLOPPY && Format::of_bytes(head) == Format::Raw {
        FileKind::Floppy
    } else {
        FileKind::Disk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        let mut b = vec![0u8; 0x9000];
        assert_eq!(kind_of_bytes(&b, 1_474_560), FileKind::Floppy);
        assert_eq!(kind_of_bytes(&b, 10 << 20), FileKind::Disk);
        b[0x8001..0x8006].copy_from_slice(b"CD001");
        assert_eq!(kind_of_bytes(&b, 10 << 20), FileKind::Cd);
        assert_eq!(kind_of_bytes(b"\x7fELF", 4), FileKind::Kernel);
        assert_eq!(kind_of_bytes(b"# Disk DescriptorFile\n", 400), FileKind::Disk);
        assert_eq!(kind_of_bytes(b"QFI\xfb", 200_000), FileKind::Disk);
    }
}
