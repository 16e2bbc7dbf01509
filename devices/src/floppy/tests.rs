//! The controller as a driver meets it. Expectations: 82077AA datasheet, chapters 2, 5 and 6.

use super::*;
use crate::ide::fake::{Image, Random, World};

const SLOT: usize = 4;

struct Bench {
    w: World,
    f: Floppy,
}

fn image(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i / 512 * 7 + i % 249) as u8).collect()
}

/// A controller out of reset, one drive with a 1.44 MB diskette, data rate 500 kbit/s.
fn bench() -> Bench {
    let mut w = World::new();
    w.media.0[SLOT] = Some(Image::new(image(1_474_560)));
    let mut b = Bench { w, f: Floppy::new(1, SLOT) };
    b.out(2, 0x1c);
    b.out(7, 0);
    b.wait();
    for _ in 0..4 {
        b.command(&[8]);
    }
    b
}

impl Bench {
    fn out(&mut self, offset: u16, value: u8) {
        self.f.write(&mut self.w.ctx(), offset, Width::Byte, u32::from(value));
    }

    fn inb(&mut self, offset: u16) -> u8 {
        self.f.read(&mut self.w.ctx(), offset, Width::Byte) as u8
    }

    fn wait(&mut self) {
        while let Some(at) = self.f.deadline() {
            self.w.now = self.w.now.max(at);
            self.f.advance(&mut self.w.ctx());
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        for &b in bytes {
            assert_eq!(self.inb(4) & 0xc0, 0x80, "wants a command byte");
            self.out(5, b);
        }
    }

    fn result(&mut self) -> Vec<u8> {
        let mut r = Vec::new();
        while self.inb(4) & 0xd0 == 0xd0 {
            r.push(self.inb(5));
        }
        r
    }

    fn command(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes);
        self.wait();
        self.result()
    }

    fn seek(&mut self, cylinder: u8) {
        self.command(&[0x0f, 0, cylinder]);
        assert!(self.f.irq());
        assert_eq!(self.command(&[8]), [0x20, cylinder]);
    }

    /// Reads by DMA until `n` bytes have come, or the controller ends.
    fn read(&mut self, command: &[u8], n: usize) -> (Vec<u8>, Vec<u8>) {
        self.send(command);
        let mut data = Vec::new();
        loop {
            self.wait();
            if self.f.dreq() != Some(Direction::ToMemory) {
                break;
            }
            let k = self.f.ready().min(n - data.len());
            data.extend(&self.f.offered()[..k]);
            self.f.taken(&mut self.w.ctx(), k, data.len() == n);
        }
        assert!(self.f.irq());
        (data, self.result())
    }

    fn write(&mut self, command: &[u8], data: &[u8]) -> Vec<u8> {
        self.send(command);
        let mut done = 0;
        loop {
            self.wait();
            if self.f.dreq() != Some(Direction::FromMemory) {
                break;
            }
            let k = self.f.ready().min(data.len() - done);
            self.f.give(&mut self.w.ctx(), &data[done..done + k], done + k == data.len());
            done += k;
        }
        assert!(self.f.irq());
        self.result()
    }

    fn disk(&mut self) -> &mut Image {
        self.w.media.0[SLOT].as_mut().unwrap()
    }
}

#[test]
fn a_reset_interrupts_once_and_polls_four_drives() {
    let mut b = Bench { w: World::new(), f: Floppy::new(1, SLOT) };
    assert_eq!(b.inb(4), 0);
    b.out(2, 0x0c);
    b.wait();
    assert!(b.f.irq());
    for drive in 0..4 {
        assert_eq!(b.command(&[8]), [0xc0 | drive, 0]);
        assert!(!b.f.irq());
    }
    assert_eq!(b.command(&[8]), [0x80]);
    b.out(4, 0x80); // software reset by DSR
    b.wait();
    assert!(b.f.irq());
    b.out(2, 0x04);
    assert!(!b.f.irq(), "DMAGATE cuts the line");
}

#[test]
fn one_sector_by_dma() {
    let mut b = bench();
    b.seek(5);
    let (data, result) = b.read(&[0x46, 0x04, 5, 1, 7, 2, 18, 0x1b, 0xff], 512);
    assert_eq!(data, image(1_474_560)[((5 * 2 + 1) * 18 + 6) * 512..][..512]);
    assert_eq!(result, [0x04, 0, 0, 5, 1, 8, 2]);
    assert_eq!(b.inb(4), 0x80);
    assert!(!b.f.irq());
}

/// A data rate that doesn't fit finds nothing, but where nobody has chosen one anything can be read.
#[test]
fn data_rates() {
    let mut b = bench();
    let read = [0xe6, 0, 0, 0, 1, 2, 1, 0x1b, 0xff];
    b.out(7, 2);
    assert_eq!(b.command(&read)[..2], [0x40, 1], "no address mark at 250 kbit/s");
    b.f.reset();
    b.out(2, 0x1c);
    b.wait();
    for _ in 0..4 {
        b.command(&[8]);
    }
    let (data, _) = b.read(&read, 512);
    assert_eq!(data, image(1_474_560)[..512]);
}

#[test]
fn multi_track_goes_on_to_the_other_side() {
    let mut b = bench();
    let (data, result) = b.read(&[0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff], 36 * 512);
    assert_eq!(data, image(1_474_560)[..36 * 512]);
    assert_eq!(result, [0, 0, 0, 1, 0, 1, 2], "the next sector: cylinder 1, head 0, sector 1");
    let (data, result) = b.read(&[0xe6, 0, 0, 0, 18, 2, 18, 0x1b, 0xff], 512);
    assert_eq!((data.len(), result), (512, vec![4, 0, 0, 0, 1, 1, 2]));
}

#[test]
fn without_terminal_count_the_track_ends_in_an_error() {
    let mut b = bench();
    let (data, result) = b.read(&[0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff], 1 << 20);
    assert_eq!(data.len(), 1024);
    assert_eq!(result, [0x40, 0x80, 0, 1, 0, 1, 2]);
}

#[test]
fn what_is_not_there() {
    let mut b = bench();
    let (_, r) = b.read(&[0x46, 0, 3, 0, 1, 2, 18, 0x1b, 0xff], 512);
    assert_eq!(r[..3], [0x40, 0x04, 0x10], "wrong cylinder");
    let (_, r) = b.read(&[0x46, 0, 0, 0, 19, 2, 18, 0x1b, 0xff], 512);
    assert_eq!(r[..3], [0x40, 0x04, 0], "no such sector");
    let (_, r) = b.read(&[0x46, 0, 0, 0, 1, 3, 18, 0x1b, 0xff], 512);
    assert_eq!(r[..3], [0x40, 0x04, 0], "no sectors of 1,024 bytes");
    b.out(7, 2); // 250 kbit/s: another world
    let (_, r) = b.read(&[0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff], 512);
    assert_eq!(r[..3], [0x40, 0x01, 0]);
    b.out(7, 0);
    b.disk().bad = Some(600);
    let (data, r) = b.read(&[0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff], 1024);
    assert_eq!((data.len(), &r[..6]), (512, &[0x40, 0x20, 0x20, 0, 0, 2][..]));
    b.w.media.0[SLOT] = None;
    let (_, r) = b.read(&[0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff], 512);
    assert_eq!(r[..3], [0x40, 0x01, 0]);
}

#[test]
fn writing() {
    let mut b = bench();
    let r = b.write(&[0x45, 0, 0, 0, 2, 2, 18, 0x1b, 0xff], &[0xaa; 700]);
    assert_eq!(r, [0, 0, 0, 0, 0, 4, 2]);
    assert_eq!(b.disk().bytes[512..512 + 700], [0xaa; 700]);
    assert_eq!(b.disk().bytes[1212..1536], [0; 324], "the rest of a cut sector is zeros");
    b.disk().read_only = true;
    let r = b.write(&[0x45, 0, 0, 0, 2, 2, 18, 0x1b, 0xff], &[0xbb; 512]);
    assert_eq!(r[..3], [0x40, 0x02, 0]);
    assert_eq!(b.command(&[4, 0])[0], 0x78);
}

#[test]
fn formatting_a_track() {
    let mut b = bench();
    b.seek(2);
    let ids: Vec<u8> = (1..=18).flat_map(|r| [2, 1, r, 2]).collect();
    let r = b.write(&[0x4d, 4, 2, 18, 0x54, 0xf6], &ids);
    assert_eq!(r[..3], [4, 0, 0]);
    let track = (2 * 2 + 1) * 18 * 512;
    assert!(b.disk().bytes[track..track + 18 * 512].iter().all(|&x| x == 0xf6));
    assert_ne!(b.disk().bytes[track - 1], 0xf6);
}

#[test]
fn by_the_processor_without_dma() {
    let mut b = bench();
    b.send(&[3, 0xdf, 0x03]); // SPECIFY: non-DMA
    b.send(&[0x46, 0, 0, 0, 18, 2, 18, 0x1b, 0xff]);
    b.wait();
    let mut data = Vec::new();
    while b.inb(4) & 0xf0 == 0xf0 && data.len() < 600 {
        assert!(b.f.irq());
        let byte = b.inb(5);
        data.push(byte);
    }
    assert_eq!(data, image(1_474_560)[17 * 512..18 * 512]);
    assert_eq!(b.result()[..3], [0x40, 0x80, 0], "no terminal count without DMA");
    assert_eq!(b.f.dreq(), None);
}

#[test]
fn heads_move() {
    let mut b = bench();
    b.send(&[0x0f, 0, 10]);
    assert_eq!(b.inb(4), 0x81, "drive 0 is busy, another command may come");
    b.wait();
    assert_eq!(b.command(&[8]), [0x20, 10]);
    assert_eq!(b.command(&[4, 0])[0] & 0x10, 0);
    b.send(&[7, 0]);
    b.wait();
    assert!(b.f.irq());
    assert_eq!(b.command(&[8]), [0x20, 0]);
    assert_eq!(b.command(&[4, 0])[0], 0x38);
    b.send(&[0xcf, 0, 3]); // relative, inwards
    b.wait();
    assert_eq!(b.command(&[8]), [0x20, 3]);
    b.send(&[7, 1]); // no drive: no track 0
    b.wait();
    assert_eq!(b.command(&[8]), [0x71, 0]);
}

#[test]
fn the_disk_change_line_falls_with_a_step() {
    let mut b = bench();
    assert_eq!(b.inb(7) & 0x80, 0x80);
    b.seek(1);
    assert_eq!(b.inb(7) & 0x80, 0);
    b.f.medium_changed(0);
    assert_eq!(b.inb(7) & 0x80, 0x80);
    b.w.media.0[SLOT] = None;
    b.seek(0);
    assert_eq!(b.inb(7) & 0x80, 0x80, "no diskette: it stays");
    b.out(2, 0x0c);
    assert_eq!(b.inb(7) & 0x80, 0, "motor off");
}

#[test]
fn registers_of_the_enhanced_commands() {
    let mut b = bench();
    assert_eq!(b.command(&[0x10]), [0x90]);
    assert_eq!(b.command(&[0x18]), [0x80], "no PART ID on this chip");
    b.send(&[0x13, 0, 0x57, 9]);
    b.send(&[0x12, 0x84 | 2]);
    b.send(&[3, 0xaf, 0x1e]);
    assert_eq!(b.command(&[0x94]), [0x10]);
    assert_eq!(b.command(&[0x0e]), [0, 0, 0, 0, 0xaf, 0x1e, 0, 0x86, 0x57, 9]);
    b.out(4, 0x80);
    b.wait();
    for _ in 0..4 {
        b.command(&[8]);
    }
    assert_eq!(b.command(&[0x0e])[7..], [0x84, 0x07, 9], "LOCK keeps FIFO and precompensation");
    assert_eq!(b.command(&[0x14]), [0]);
    let id = b.command(&[0x4a, 0]);
    assert!(id[..5] == [0; 5] && (1..=18).contains(&id[5]) && id[6] == 2);
}

#[test]
fn implied_seeks() {
    let mut b = bench();
    b.send(&[0x13, 0, 0x40, 0]);
    let (data, _) = b.read(&[0x46, 0, 30, 0, 1, 2, 18, 0x1b, 0xff], 512);
    assert_eq!(data, image(1_474_560)[30 * 36 * 512..][..512]);
}

#[test]
fn verify_and_scan() {
    let mut b = bench();
    assert_eq!(b.command(&[0x56, 0, 0, 0, 1, 2, 18, 0x1b, 0xff])[..3], [0, 0, 0]);
    b.disk().bad = Some(512 * 3);
    assert_eq!(b.command(&[0x56, 0, 0, 0, 1, 2, 18, 0x1b, 0xff])[..6], [0x40, 0x20, 0x20, 0, 0, 4]);
    assert_eq!(b.command(&[0x56, 0x80, 0, 0, 1, 2, 18, 0x1b, 3])[..3], [0, 0, 0], "three sectors only");
    b.disk().bad = None;
    let third = image(1_474_560)[1024..1536].to_vec();
    let mut wanted = [[0u8; 1024].to_vec(), third].concat();
    wanted.resize(4096, 0);
    let r = b.write(&[0x51, 0, 0, 0, 1, 2, 18, 0x1b, 1], &wanted);
    assert_eq!(r, [0, 0, 0x08, 0, 0, 4, 2]);
}

/// Random accesses neither panic nor hang, and the state stays small.
#[test]
fn fuzz() {
    for seed in 1..=40u64 {
        let mut r = Random(seed);
        let mut b = bench();
        for _ in 0..6_000 {
            let opcodes = [
                0xe6, 0x46, 0x45, 0x0f, 0x07, 0x08, 0x4d, 0x4a, 0x03, 0x51, 0x56, 0x0e, 0x42, 0x4c, 0x6c,
                0x13,
            ];
            match r.below(10) {
                0..=3 => b.out(5, r.next() as u8 & [0xff, 3][r.below(2) as usize]),
                4 => b.out(5, opcodes[r.below(16) as usize]),
                5 => drop(b.inb(r.below(9) as u16)),
                6 if r.below(10) == 0 => b.out(r.below(9) as u16, r.next() as u8),
                7 => b.wait(),
                8 => {
                    let bytes = vec![0; r.below(600) as usize];
                    let last = r.below(4) == 0;
                    b.f.taken(&mut b.w.ctx(), bytes.len(), last);
                    b.f.give(&mut b.w.ctx(), &bytes, last);
                }
                _ => {
                    b.w.now.0 += r.below(300_000);
                    let _ = (b.f.irq(), b.f.dreq(), b.f.ready(), b.inb(5));
                }
            }
        }
        assert!(format!("{:?}", b.f).len() < 1 << 14);
    }
}
