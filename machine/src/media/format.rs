//! Which format an image file has, and the formats that aren't plain bytes (through `imago`).
//!
//! A qcow2 image may stand on a backing file that it names itself. A guest that owns a raw disk could write a qcow2 header
//! to it that names any file of the host; so names inside an image are followed only where someone said that it is
//! one: by `format=`, or by the file's name.

use super::raw::RawFile;
use imago::file::File;
use imago::qcow2::Qcow2;
use imago::vmdk::Vmdk;
use imago::{
    DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate, Storage,
    StorageOpenOptions,
};
use lucid86_devices::Medium;
use std::io;
use std::path::Path;

/// An image file's format.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Raw,
    Qcow2,
    Vmdk,
}

impl Format {
    /// From its name on the command line.
    pub fn from_name(name: &str) -> Option<Format> {
        match name {
            "raw" => Some(Format::Raw),
            "qcow2" => Some(Format::Qcow2),
            "vmdk" => Some(Format::Vmdk),
            _ => None,
        }
    }

    /// Told by a file's first bytes; whatever is nothing else is raw.
    pub fn of_bytes(head: &[u8]) -> Format {
        if head.starts_with(b"QFI\xfb") {
            Format::Qcow2
        } else if head.starts_with(b"KDMV") || head.starts_with(b"# Disk DescriptorFile") {
            Format::Vmdk
        } else {
            Format::Raw
        }
    }
}

/// Opens a file in its format.
pub fn open(path: &Path, format: Option<Format>, writable: bool) -> io::Result<Box<dyn Medium + Send>> {
    let mut file = RawFile::open(path, writable)?;
    let told = format.unwrap_or_else(|| {
        let mut head = vec![0; file.len().min(32) as usize];
        let _ = file.read(0, &mut head);
        Format::of_bytes(&head)
    });
    let named = path
        .extension()
        .is_some_and(|e| Format::from_name(&e.to_string_lossy().to_lowercase()) == Some(told));
    let follow = format.is_some() || named;
    let access = match told {
        Format::Raw => return Ok(Box::new(file)),
        Format::Qcow2 if writable && !refcounts_cover(&mut file)? => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "is damaged: its refcount table has holes",
            ));
        }
        Format::Qcow2 => open_as(Qcow2::<File>::builder(storage(path, writable)?), writable, follow),
        Format::Vmdk => open_as(Vmdk::<File>::builder(storage(path, writable)?), writable, follow),
    }?;
    // Where a lock also keeps the process's own other handles out, there is none.
    let lock = (!cfg!(windows)).then_some(file);
    Ok(Box::new(Formatted { access, writable, _lock: lock }))
}

/// Whether the refcount table has a block for each part of the file, as that of a sound image has: every used cluster
/// is counted. Allocation would look for a place for a missing block in the part that it would count.
fn refcounts_cover(file: &mut RawFile) -> io::Result<bool> {
    let mut header = [0; 104];
    let n = file.len().min(104) as usize;
    file.read(0, &mut header[..n])?;
    let be =
        |at: usize, bytes: usize| header[at..at + bytes].iter().fold(0u64, |v, &b| v << 8 | u64::from(b));
    let (version, cluster_bits, table) = (be(4, 4), be(20, 4), be(48, 8));
    let order = if version >= 3 { be(96, 4) } else { 4 };
    if !(9..=21).contains(&cluster_bits) || order > 6 {
        return Ok(true); // refused for that when it is opened
    }
    // A block has a cluster's bits in entries of 2^order bits, each for a cluster.
    let bytes_of_block = 1u64 << (cluster_bits + cluster_bits + 3 - order);
    let mut left = file.len().div_ceil(bytes_of_block);
    if left > be(56, 4) << cluster_bits >> 3 {
        return Ok(false);
    }
    let mut at = table;
    let mut entries = vec![0; 65_536];
    while left > 0 {
        let n = left.min(8192);
        let bytes = &mut entries[..n as usize * 8];
        if at.checked_add(bytes.len() as u64).is_none_or(|end| end > file.len()) {
            return Ok(false);
        }
        file.read(at, bytes)?;
        if bytes.chunks(8).any(|e| e[..7].iter().all(|&b| b == 0)) {
            return Ok(false);
        }
        (at, left) = (at + bytes.len() as u64, left - n);
    }
    Ok(true)
}

fn storage(path: &Path, writable: bool) -> io::Result<File> {
    File::open(StorageOpenOptions::new().filename(path).write(writable))
}

fn open_as<B>(builder: B, writable: bool, follow: bool) -> io::Result<FormatAccess<File>>
where
    B: FormatDriverBuilder<File>,
    B::Format: 'static,
{
    let builder = builder.write(writable);
    let image = if follow {
        builder.open(PermissiveImplicitOpenGate::default())?
    } else {
        builder.open(DenyImplicitOpenGate::default())?
    };
    Ok(FormatAccess::new(image))
}

/// An image in a format, with the lock on its file.
struct Formatted {
    access: FormatAccess<File>,
    writable: bool,
    _lock: Option<RawFile>,
}

impl Medium for Formatted {
    fn len(&self) -> u64 {
        self.access.size()
    }

    fn read_only(&self) -> bool {
        !self.writable
    }

    fn read(&mut self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.access.read(to, offset)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.access.write(from, offset)
    }

    /// First the tables that are kept in memory, then the host's disk.
    fn flush(&mut self) -> io::Result<()> {
        self.access.flush()?;
        self.access.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tests::{DISCARD, Temp, WRITE};
    use crate::media::{Access, Shape};

    const CLUSTER: usize = 65536;

    /// A qcow2 image of 1 MiB as the format's specification describes it (version 2): clusters of header, refcount
    /// table, refcount block, L1 table, L2 table, and one of data for the guest's second cluster.
    fn qcow2(backing: &[u8]) -> Vec<u8> {
        let mut f = vec![0u8; 6 * CLUSTER];
        let put = |f: &mut Vec<u8>, at: usize, bytes: &[u8]| f[at..at + bytes.len()].copy_from_slice(bytes);
        put(&mut f, 0, b"QFI\xfb");
        put(&mut f, 4, &2u32.to_be_bytes());
        if !backing.is_empty() {
            put(&mut f, 8, &1024u64.to_be_bytes());
            put(&mut f, 16, &(backing.len() as u32).to_be_bytes());
            put(&mut f, 1024, backing);
        }
        put(&mut f, 20, &16u32.to_be_bytes()); // cluster bits
        put(&mut f, 24, &(1u64 << 20).to_be_bytes()); // size
        put(&mut f, 36, &1u32.to_be_bytes()); // L1 entries
        put(&mut f, 40, &(3 * CLUSTER as u64).to_be_bytes());
        put(&mut f, 48, &(CLUSTER as u64).to_be_bytes()); // refcount table
        put(&mut f, 56, &1u32.to_be_bytes());
        put(&mut f, CLUSTER, &(2 * CLUSTER as u64).to_be_bytes());
        for i in 0..6 {
            put(&mut f, 2 * CLUSTER + 2 * i, &1u16.to_be_bytes());
        }
        const COPIED: u64 = 1 << 63;
        put(&mut f, 3 * CLUSTER, &((4 * CLUSTER as u64) | COPIED).to_be_bytes());
        put(&mut f, 4 * CLUSTER + 8, &((5 * CLUSTER as u64) | COPIED).to_be_bytes());
        f[5 * CLUSTER..].fill(0x5a);
        f
    }

    fn read(i: &mut crate::media::Image, offset: u64) -> [u8; 512] {
        let mut b = [0xee; 512];
        i.read(offset, &mut b).unwrap();
        b
    }

    #[test]
    fn qcow2_is_read_and_written() {
        let t = Temp::new("q.qcow2", &qcow2(b""));
        let mut i = t.open(Shape::Disk, WRITE).unwrap();
        assert_eq!(i.len(), 1 << 20);
        assert_eq!((read(&mut i, 0), read(&mut i, CLUSTER as u64)), ([0; 512], [0x5a; 512]));
        i.write(512 * 1024, &[7; 512]).unwrap();
        i.write(CLUSTER as u64 + 512, &[8; 512]).unwrap();
        i.flush().unwrap();
        assert!(t.open(Shape::Disk, WRITE).unwrap_err().0.contains("in use"));
        drop(i);
        let mut i = t.open(Shape::Disk, DISCARD).unwrap();
        assert_eq!((read(&mut i, 512 * 1024), read(&mut i, CLUSTER as u64 + 512)), ([7; 512], [8; 512]));
        assert_eq!(read(&mut i, 512 * 1025), [0; 512]);
        i.write(0, &[1; 512]).unwrap();
    }

    #[test]
    fn raw_on_demand() {
        let t = Temp::new("raw-on-demand", &qcow2(b""));
        let access = Access { format: Some(Format::Raw), ..DISCARD };
        assert_eq!(t.open(Shape::Disk, access).unwrap().len(), 6 * CLUSTER as u64);
    }

    #[test]
    fn a_backing_file_is_followed_only_where_the_image_is_meant_as_one() {
        let base = Temp::new("base", &[3; 1 << 20]);
        let top = qcow2(base.0.to_str().unwrap().as_bytes());
        let meant = Temp::new("top", &top);
        let access = Access { format: Some(Format::Qcow2), ..DISCARD };
        let mut i = meant.open(Shape::Disk, access).unwrap();
        assert_eq!((read(&mut i, 0), read(&mut i, CLUSTER as u64)), ([3; 512], [0x5a; 512]));
        drop(i);
        assert!(meant.open(Shape::Disk, DISCARD).is_err(), "a raw disk whose guest wrote this header");
    }

    #[test]
    fn flat_vmdk() {
        let data = Temp::new("flat.bin", &[9; 1 << 20]);
        let descriptor = format!(
            "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n\
             # Extent description\nRW 2048 FLAT \"{}\" 0\n",
            data.0.file_name().unwrap().to_str().unwrap()
        );
        let t = Temp::new("d", descriptor.as_bytes());
        let access = Access { format: Some(Format::Vmdk), ..DISCARD };
        let mut i = t.open(Shape::Disk, access).unwrap();
        assert_eq!((i.len(), read(&mut i, 1024)), (1 << 20, [9; 512]));
    }

    /// Damaged headers and tables are errors, whatever they say.
    #[test]
    fn damaged_images_are_refused_or_read() {
        let good = qcow2(b"");
        let mut seed = 0x1234_5678_9abc_def1u64;
        let mut next = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for round in 0..300 {
            let mut bytes = good.clone();
            for _ in 0..1 + next() % 4 {
                let area = [0, 0, CLUSTER, 2 * CLUSTER, 3 * CLUSTER, 4 * CLUSTER][(next() % 6) as usize];
                let at = area + (next() % 104) as usize;
                bytes[at] = [next() as u8, 0xff, 0, 0x80][(next() % 4) as usize];
            }
            bytes.truncate(bytes.len() - (next() % 3 * 40_000) as usize);
            let t = Temp::new(&format!("damaged-{round}.qcow2"), &bytes);
            let Ok(mut i) = t.open(Shape::Disk, WRITE) else { continue };
            for k in 0..16 {
                let mut b = [0; 512];
                let _ = i.read(k * CLUSTER as u64 + 1024, &mut b);
                let _ = i.write(k * CLUSTER as u64, &b);
            }
        }
    }
}
