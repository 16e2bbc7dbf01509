//! Images as drives use them.

use super::*;
use std::path::PathBuf;

/// A file that goes when the test ends.
pub(super) struct Temp(pub PathBuf);

impl Temp {
    pub fn new(name: &str, bytes: &[u8]) -> Temp {
        let path = std::env::temp_dir().join(format!("lucid86-media-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Temp(path)
    }

    pub fn open(&self, shape: Shape, access: Access) -> Result<Image, ConfigError> {
        Image::open(&self.0, shape, access)
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(super) const WRITE: Access = Access { read_only: false, discard_writes: false, format: None };
pub(super) const DISCARD: Access = Access { read_only: false, discard_writes: true, format: None };
const READ: Access = Access { read_only: true, discard_writes: false, format: None };

fn read(i: &mut Image, offset: u64, n: usize) -> Vec<u8> {
    let mut b = vec![0xee; n];
    i.read(offset, &mut b).unwrap();
    b
}

#[test]
fn a_disk_has_whole_sectors_with_zeros_behind() {
    let t = Temp::new("odd", &[7; 700]);
    let mut i = t.open(Shape::Disk, WRITE).unwrap();
    assert_eq!(i.len(), 1024);
    assert_eq!(read(&mut i, 690, 20), [[7; 10], [0; 10]].concat());
    assert!(i.read(1000, &mut [0; 30]).is_err());
    assert!(i.write(u64::MAX, &[0; 30]).is_err());
    assert_eq!(t.bytes().len(), 700, "nothing is written before the guest writes");
}

#[test]
fn a_floppy_is_a_standard_one() {
    let t = Temp::new("floppy", &[7; 5000]);
    let mut i = t.open(Shape::Floppy, WRITE).unwrap();
    assert_eq!(i.len(), 1_474_560);
    i.write(10_240, &[1; 512]).unwrap();
    assert_eq!(read(&mut i, 9_728, 1024), [[0; 512], [1; 512]].concat());
    let big = Temp::new("big", &[0; 3_000_000]);
    assert!(big.open(Shape::Floppy, WRITE).unwrap_err().0.contains("too many for a floppy"));
    let empty = Temp::new("empty", &[]);
    assert!(empty.open(Shape::Disk, WRITE).unwrap_err().0.contains("is empty"));
}

#[test]
fn writes_go_straight_to_the_file() {
    let t = Temp::new("through", &[0; 4096]);
    let mut i = t.open(Shape::Disk, WRITE).unwrap();
    i.write(512, &[9; 512]).unwrap();
    assert_eq!(t.bytes()[512..1024], [9; 512]);
    i.flush().unwrap();
}

#[test]
fn discarded_writes_are_seen_and_leave_the_file_alone() {
    let t = Temp::new("discard", &[3; 10_000]);
    let mut i = t.open(Shape::Disk, DISCARD).unwrap();
    i.write(4000, &[9; 600]).unwrap();
    assert_eq!(read(&mut i, 3999, 602), [&[3][..], &[9; 600], &[3]].concat());
    assert_eq!(t.bytes(), [3; 10_000]);
    assert!(!i.read_only());
}

#[test]
fn read_only_refuses() {
    let t = Temp::new("ro", &[3; 4096]);
    let mut i = t.open(Shape::Disk, READ).unwrap();
    assert!(i.read_only() && i.write(0, &[1; 512]).is_err());
    let cd = t.open(Shape::Cd, DISCARD).unwrap();
    assert!(cd.read_only());
}

#[test]
fn one_writer_or_many_readers() {
    let t = Temp::new("lock", &[0; 4096]);
    let first = t.open(Shape::Disk, WRITE).unwrap();
    assert!(t.open(Shape::Disk, WRITE).unwrap_err().0.contains("in use"));
    assert!(t.open(Shape::Cd, WRITE).unwrap_err().0.contains("being written"));
    drop(first);
    let _a = t.open(Shape::Disk, DISCARD).unwrap();
    let _b = t.open(Shape::Cd, READ).unwrap();
    assert!(t.open(Shape::Disk, WRITE).is_err());
    assert!(
        Image::open(Path::new("/nowhere/x.img"), Shape::Disk, WRITE).unwrap_err().0.contains("no such file")
    );
}

#[test]
fn the_written_hash_does_not_depend_on_where_writes_go() {
    let t = Temp::new("hash", &[0; 100_000]);
    let hash = |access: Access| {
        let mut i = t.open(Shape::Disk, access).unwrap();
        assert_eq!(i.written_hash(), 0);
        i.write(50_000 / 512 * 512, &[5; 1024]).unwrap();
        i.written_hash()
    };
    assert_eq!(hash(DISCARD), hash(WRITE));
}

#[test]
fn what_was_saved_comes_back() {
    let original: Vec<u8> = (0..200_000).map(|i| (i / 512) as u8).collect();
    let t = Temp::new("save", &original);
    for access in [DISCARD, WRITE] {
        let mut i = t.open(Shape::Disk, access).unwrap();
        i.keep_undo();
        i.write(1024, &[1; 1536]).unwrap();
        i.write(150_016, &[2; 512]).unwrap();
        let (saved, hash) = (i.save().unwrap(), i.written_hash());
        assert_eq!(saved.bytes(), 2048);
        i.write(2048, &[3; 512]).unwrap();
        i.write(100_352, &[4; 512]).unwrap();
        assert_ne!(i.written_hash(), hash);
        i.load(&saved).unwrap();
        assert_eq!(i.written_hash(), hash);
        assert_eq!(read(&mut i, 2048, 512), [1; 512]);
        assert_eq!(read(&mut i, 100_352, 512), original[100_352..100_864]);
        drop(i);
        let mut fresh = t.open(Shape::Disk, access).unwrap();
        fresh.load(&saved).unwrap();
        assert_eq!(fresh.written_hash(), hash);
    }
    let other = Temp::new("other", &[0x55; 200_000]);
    let saved = t.open(Shape::Disk, WRITE).unwrap().save().unwrap();
    assert!(other.open(Shape::Disk, DISCARD).unwrap().load(&saved).unwrap_err().contains("not the one"));
    let short = Temp::new("short", &[0x55; 2_000]);
    assert!(short.open(Shape::Disk, DISCARD).unwrap().load(&saved).is_err());
}

#[test]
fn what_cannot_be_undone_is_said() {
    let t = Temp::new("undo", &[0; 100_000]);
    let mut i = t.open(Shape::Disk, WRITE).unwrap();
    i.write(512, &[1; 1024]).unwrap();
    let saved = i.save().unwrap();
    i.write(1024, &[2; 512]).unwrap();
    i.load(&saved).unwrap();
    assert_eq!(t.bytes()[1024..1536], [1; 512]);
    i.write(4096, &[3; 512]).unwrap();
    assert!(i.load(&saved).unwrap_err().contains("lost"));
}

#[test]
fn bytes_are_an_image_too() {
    let mut i = Image::from_bytes(vec![1; 100], Shape::Disk).unwrap();
    i.write(0, &[2; 512]).unwrap();
    assert_eq!(read(&mut i, 0, 512), [2; 512]);
    assert!(Image::from_bytes(vec![], Shape::Cd).is_err());
}
