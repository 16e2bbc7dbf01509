//! The controller as a driver meets it. Expectations: ATA/ATAPI-6 (commands 8.x, protocols 9.x), Bus Master IDE 1.0,
//! SFF-8020i and MMC-3.

use super::fake::{Image, Random, World};
use super::*;
use crate::{Dma, Width};

const DATA: u16 = 0;
const STATUS: u16 = 7;

struct Bench {
    w: World,
    ide: Ide,
    channel: usize,
}

fn disk_bytes(sectors: usize) -> Vec<u8> {
    (0..sectors * 512).map(|i| (i / 512 * 3 + i % 251) as u8).collect()
}

/// A disk of 2,000 sectors as primary master and a CD of 100 blocks as secondary master.
fn bench() -> Bench {
    let disk = Unit::Disk(Disk::new(2000 * 512, "LC0001"));
    let mut w = World::new();
    w.media.0[0] = Some(Image::new(disk_bytes(2000)));
    w.media.0[2] = Some(Image::new(disk_bytes(400)));
    let mut ide = Ide::new([Some(disk), None, Some(Unit::Cd(Cd::new("LC0002"))), None], 0);
    let _ = ide.function.config_write(4, Width::Word, 5);
    Bench { w, ide, channel: 0 }
}

impl Bench {
    fn out(&mut self, register: u16, value: u8) {
        self.ide.write_command(&mut self.w.ctx(), self.channel, register, Width::Byte, u32::from(value));
    }

    fn inb(&mut self, register: u16) -> u8 {
        self.ide.read_command(&mut self.w.ctx(), self.channel, register, Width::Byte) as u8
    }

    fn control(&mut self, value: u8) {
        self.ide.write_control(&mut self.w.ctx(), self.channel, value);
    }

    /// Lets time pass until the next thing happens.
    fn wait(&mut self) {
        while let Some(at) = self.ide.deadline() {
            self.w.now = self.w.now.max(at);
            self.ide.advance(&mut self.w.ctx());
        }
    }

    fn task(&mut self, device: u8, count: u8, lba: [u8; 3], command: u8) {
        self.out(6, device);
        self.out(2, count);
        for (i, b) in lba.into_iter().enumerate() {
            self.out(3 + i as u16, b);
        }
        self.out(STATUS, command);
    }

    /// Writes each register twice: high order byte first.
    fn task48(&mut self, count: u16, lba: u64, command: u8) {
        self.out(6, 0x40);
        self.out(2, (count >> 8) as u8);
        self.out(2, count as u8);
        for i in 0..3 {
            self.out(3 + i, (lba >> (24 + 8 * i)) as u8);
            self.out(3 + i, (lba >> (8 * i)) as u8);
        }
        self.out(STATUS, command);
    }

    fn read_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            self.wait();
            let n = self.ide.data_left(self.channel);
            if n == 0 {
                return all;
            }
            let mut block = vec![0; n];
            let channel = self.channel;
            assert_eq!(self.ide.read_data(&mut self.w.ctx(), channel, &mut block), n);
            all.extend(block);
        }
    }

    fn lbas(&mut self) -> [u8; 3] {
        [self.inb(3), self.inb(4), self.inb(5)]
    }

    fn prd(&mut self, at: u32, regions: &[(u32, u16)]) {
        for (i, &(address, count)) in regions.iter().enumerate() {
            let last = if i + 1 == regions.len() { 0x8000 } else { 0u16 };
            let mut d = address.to_le_bytes().to_vec();
            d.extend(count.to_le_bytes());
            d.extend(last.to_le_bytes());
            self.w.ram.write(u64::from(at) + 8 * i as u64, &d);
        }
        let base = 8 * self.channel as u16;
        self.ide.write_bus_master(&mut self.w.ctx(), base + 4, Width::Dword, at);
        self.ide.write_bus_master(&mut self.w.ctx(), base + 2, Width::Byte, 6);
    }

    fn master(&mut self, command: u8) {
        let base = 8 * self.channel as u16;
        self.ide.write_bus_master(&mut self.w.ctx(), base, Width::Byte, u32::from(command));
    }

    fn master_status(&mut self) -> u8 {
        let base = 8 * self.channel as u16;
        self.ide.read_bus_master(&mut self.w.ctx(), base + 2, Width::Byte) as u8
    }

    fn irq(&self) -> bool {
        self.ide.irq(self.channel)
    }

    // The CD.

    fn send(&mut self, packet: &[u8], features: u8, limit: u16) {
        self.channel = 1;
        self.out(6, 0);
        self.out(1, features);
        self.out(4, limit as u8);
        self.out(5, (limit >> 8) as u8);
        self.out(STATUS, 0xa0);
        self.wait();
        assert_eq!(self.inb(STATUS) & 0x89, 0x08);
        assert_eq!(self.inb(2) & 3, 1, "command packet wanted");
        let mut whole = packet.to_vec();
        whole.resize(12, 0);
        self.ide.write_data(&mut self.w.ctx(), 1, &whole);
    }

    fn packet(&mut self, packet: &[u8]) -> Result<Vec<u8>, u8> {
        self.send(packet, 0, 0xfffe);
        let data = self.read_all();
        assert!(self.irq());
        assert_eq!(self.inb(2) & 3, 3, "status follows");
        if self.inb(STATUS) & 1 != 0 { Err(self.inb(1) >> 4) } else { Ok(data) }
    }

    fn sense(&mut self) -> [u8; 3] {
        let s = self.packet(&[3, 0, 0, 0, 18]).unwrap();
        [s[2], s[12], s[13]]
    }

    fn awake(mut self) -> Bench {
        assert_eq!(self.packet(&[0]), Err(6));
        assert_eq!(self.sense(), [6, 0x29, 0]);
        self
    }
}

#[test]
fn a_reset_leaves_the_signatures() {
    let mut b = bench();
    b.control(4);
    assert_eq!(b.inb(STATUS), 0x80);
    b.control(0);
    b.wait();
    assert_eq!((b.inb(2), b.lbas(), b.inb(1), b.inb(STATUS)), (1, [1, 0, 0], 1, 0x50));
    b.channel = 1;
    assert_eq!((b.inb(2), b.lbas(), b.inb(STATUS)), (1, [1, 0x14, 0xeb], 0));
    assert!(!b.irq());
}

#[test]
fn an_absent_device_1_is_answered_for_and_takes_no_command() {
    let mut b = bench();
    b.out(6, 0xb0);
    b.out(2, 0x55);
    assert_eq!(b.inb(2), 0x55);
    assert_eq!(b.inb(STATUS), 0);
    b.out(STATUS, 0xec);
    assert_eq!(b.ide.deadline(), None);
    b.out(6, 0xa0);
    assert_eq!(b.inb(STATUS), 0x50);
    b.channel = 1;
    b.out(6, 0xb0);
    b.out(2, 0x55);
    assert_eq!((b.inb(2), b.lbas(), b.inb(STATUS)), (0, [0; 3], 0), "no second signature");
}

#[test]
fn an_empty_channel_reads_zero() {
    let mut w = World::new();
    let mut ide = Ide::new([None, None, None, None], 0);
    for r in 1..8 {
        assert_eq!(ide.read_command(&mut w.ctx(), 1, r, Width::Byte), 0);
    }
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|p| u16::from_le_bytes([p[0], p[1]])).collect()
}

fn text(words: &[u16]) -> String {
    words.iter().flat_map(|w| w.to_be_bytes()).map(char::from).collect()
}

#[test]
fn identify_device() {
    let mut b = bench();
    b.out(STATUS, 0xec);
    assert_eq!(b.inb(STATUS) & 0x80, 0x80);
    assert!(!b.irq());
    b.wait();
    assert!(b.irq());
    let data = b.read_all();
    assert_eq!(data.iter().fold(0u8, |a, &b| a.wrapping_add(b)), 0, "checksum of word 255");
    let w = words(&data);
    assert_eq!(w[0] & 0x8000, 0);
    assert_eq!(text(&w[27..47]).trim(), "LUCID86 HARDDISK");
    assert_eq!(text(&w[10..20]).trim(), "LC0001");
    assert_eq!(w[60..62], [2000, 0]);
    assert_eq!(w[100..104], [2000, 0, 0, 0]);
    assert_eq!((w[1], w[3], w[6]), (1, 16, 63));
    assert_eq!((w[4], w[5]), (63 * 512, 512), "bytes of a track and of a sector, for old firmware");
    assert_eq!(w[49] & 0x300, 0x300);
    assert_eq!(w[83] & 0xc400, 0x4400);
    assert_eq!(w[63] & 7, 7);
    assert_eq!(w[255] & 0xff, 0xa5);
    assert_eq!(b.inb(STATUS), 0x50);
    assert!(!b.irq());
}

#[test]
fn read_sectors_interrupts_once_a_block() {
    let mut b = bench();
    b.task(0xe0, 3, [10, 0, 0], 0x20);
    for sector in 0..3usize {
        b.wait();
        assert!(b.irq());
        assert_eq!(b.inb(STATUS), 0x58);
        assert!(!b.irq());
        let mut block = vec![0; 512];
        for pair in block.chunks_mut(4) {
            let v = b.ide.read_command(&mut b.w.ctx(), 0, DATA, Width::Dword);
            pair.copy_from_slice(&v.to_le_bytes());
        }
        assert_eq!(block, disk_bytes(2000)[(10 + sector) * 512..][..512]);
    }
    b.wait();
    assert!(!b.irq());
    assert_eq!((b.inb(STATUS), b.inb(2), b.lbas()), (0x50, 0, [12, 0, 0]));
}

#[test]
fn n_ien_holds_the_line_back() {
    let mut b = bench();
    b.control(2);
    b.task(0xe0, 1, [0, 0, 0], 0x20);
    b.wait();
    assert!(!b.irq());
    b.control(0);
    assert!(b.irq());
}

#[test]
fn chs_follows_initialize_device_parameters() {
    let mut b = bench();
    b.task(0xa0 | 3, 8, [0, 0, 0], 0x91); // 4 heads, 8 sectors
    b.wait();
    assert_eq!(b.inb(STATUS), 0x50);
    b.task(0xa0 | 2, 1, [5, 7, 0], 0x20); // cylinder 7, head 2, sector 5
    assert_eq!(b.read_all(), disk_bytes(2000)[((7 * 4 + 2) * 8 + 4) * 512..][..512]);
    assert_eq!((b.lbas(), b.inb(6) & 15), ([5, 7, 0], 2));
    b.task(0xa0, 1, [9, 0, 0], 0x20); // sector 9 of 8
    b.wait();
    assert_eq!((b.inb(STATUS), b.inb(1)), (0x51, 0x10));
    b.task(0xa0, 1, [0, 0, 0], 0x20); // sectors count from 1
    b.wait();
    assert_eq!(b.inb(1), 0x10);
}

#[test]
fn write_sectors_and_flush() {
    let mut b = bench();
    b.task(0xe0, 2, [7, 0, 0], 0x30);
    assert_eq!(b.inb(STATUS), 0x58);
    assert!(!b.irq(), "no interrupt before the first block");
    let data: Vec<u8> = (0..1024).map(|i| i as u8 ^ 0x5a).collect();
    assert_eq!(b.ide.write_data(&mut b.w.ctx(), 0, &data), 512);
    assert_eq!(b.inb(STATUS) & 0x80, 0x80);
    b.wait();
    assert!(b.irq());
    assert_eq!(b.inb(STATUS), 0x58);
    for pair in data[512..].chunks(2) {
        let v = u32::from(pair[0]) | u32::from(pair[1]) << 8;
        b.ide.write_command(&mut b.w.ctx(), 0, DATA, Width::Word, v);
    }
    b.wait();
    assert!(b.irq());
    assert_eq!(b.inb(STATUS), 0x50);
    assert_eq!(b.w.media.0[0].as_ref().unwrap().bytes[7 * 512..9 * 512], data);
    b.out(STATUS, 0xe7);
    b.wait();
    assert_eq!(b.inb(STATUS), 0x50);
    assert_eq!(b.w.media.0[0].as_ref().unwrap().flushes, 1);
}

#[test]
fn multiple_moves_blocks() {
    let mut b = bench();
    b.task(0xe0, 3, [0, 0, 0], 0xc6);
    b.wait();
    assert_eq!(b.inb(1), 4, "3 is no power of two");
    b.task(0xe0, 4, [0, 0, 0], 0xc6);
    b.wait();
    b.task(0xe0, 6, [1, 0, 0], 0xc4);
    b.wait();
    assert_eq!(b.ide.data_left(0), 4 * 512);
    assert_eq!(b.read_all(), disk_bytes(2000)[512..7 * 512]);
    b.task(0xe0, 0, [0, 0, 0], 0xc6);
    b.wait();
    b.task(0xe0, 6, [1, 0, 0], 0xc4);
    assert_eq!(b.inb(1), 4, "READ MULTIPLE while multiple mode is off");
}

#[test]
fn lba48_takes_the_previous_content_too() {
    let mut b = bench();
    b.task48(2, 0x1_0000_0005, 0x24);
    b.wait();
    assert_eq!((b.inb(STATUS), b.inb(1)), (0x51, 0x10));
    b.control(0x80);
    assert_eq!(b.lbas(), [0, 1, 0], "HOB shows bits 47:24");
    b.task48(2, 5, 0x24);
    assert_eq!(b.inb(3), 5, "a write clears HOB");
    assert_eq!(b.read_all(), disk_bytes(2000)[5 * 512..7 * 512]);
    b.task48(0, 0, 0x24); // 65,536 sectors: more than there are
    b.wait();
    assert_eq!(b.inb(1), 0x10);
}

#[test]
fn bus_master_read_scatters() {
    let mut b = bench();
    b.prd(0x1000, &[(0x4000, 1000), (0x8000, 536)]);
    b.task(0xe0, 3, [20, 0, 0], 0xc8);
    assert_eq!(b.ide.deadline(), None, "the bus master has not been started");
    b.master(9);
    assert_eq!(b.master_status() & 1, 1);
    b.wait();
    assert!(b.irq());
    assert_eq!(b.master_status() & 7, 4, "interrupt, not active: the whole table");
    let want = &disk_bytes(2000)[20 * 512..23 * 512];
    assert_eq!(b.w.ram.0[0x4000..0x4000 + 1000], want[..1000]);
    assert_eq!(b.w.ram.0[0x8000..0x8000 + 536], want[1000..]);
    assert_eq!(b.inb(STATUS), 0x50);
    b.master(0);
}

#[test]
fn bus_master_write_gathers() {
    let mut b = bench();
    b.w.ram.0[0x4000..0x4400].fill(0x77);
    b.prd(0x1000, &[(0x4000, 512), (0x4200, 0x2000)]);
    b.master(1);
    b.task48(2, 100, 0x35);
    b.wait();
    assert_eq!(b.master_status() & 7, 5, "interrupt and active: the table was longer");
    assert!(b.w.media.0[0].as_ref().unwrap().bytes[100 * 512..102 * 512].iter().all(|&x| x == 0x77));
}

#[test]
fn a_table_that_is_too_short_waits_for_another() {
    let mut b = bench();
    b.prd(0x1000, &[(0x4000, 700)]);
    b.master(9);
    b.task(0xe0, 2, [0, 0, 0], 0xc8);
    b.wait();
    assert_eq!(b.master_status() & 7, 0, "neither active nor interrupt: the table was shorter");
    assert!(!b.irq());
    b.master(0);
    b.prd(0x1000, &[(0x6000, 324)]);
    b.master(9);
    b.wait();
    assert!(b.irq());
    assert_eq!(b.w.ram.0[0x6000..0x6000 + 324], disk_bytes(2000)[700..1024]);
}

#[test]
fn nothing_masters_while_the_command_register_forbids_it() {
    let mut b = bench();
    let _ = b.ide.function.config_write(4, Width::Word, 1);
    b.prd(0x1000, &[(0x4000, 512)]);
    b.master(9);
    b.task(0xe0, 1, [0, 0, 0], 0xc8);
    assert_eq!(b.ide.deadline(), None);
    let _ = b.ide.function.config_write(4, Width::Word, 5);
    b.ide.advance(&mut b.w.ctx());
    b.wait();
    assert!(b.irq());
}

#[test]
fn host_errors_name_the_sector() {
    let mut b = bench();
    b.w.media.0[0].as_mut().unwrap().bad = Some(12 * 512 + 100);
    b.prd(0x1000, &[(0x4000, 4 * 512)]);
    b.master(9);
    b.task(0xe0, 4, [10, 0, 0], 0xc8);
    b.wait();
    assert_eq!((b.inb(STATUS), b.inb(1), b.lbas()), (0x51, 0x40, [12, 0, 0]));
    assert_eq!(b.w.ram.0[0x4000..0x4400], disk_bytes(2000)[10 * 512..12 * 512]);
    assert_eq!(b.master_status() & 4, 4);
    b.master(0);
    b.task(0xe0, 1, [12, 0, 0], 0x40);
    b.wait();
    assert_eq!(b.inb(1), 0x40);
    b.w.media.0[0].as_mut().unwrap().read_only = true;
    b.task(0xe0, 1, [0, 0, 0], 0x30);
    b.ide.write_data(&mut b.w.ctx(), 0, &[0; 512]);
    b.wait();
    assert_eq!((b.inb(STATUS), b.inb(1)), (0x51, 0x04));
}

#[test]
fn commands_without_data() {
    let mut b = bench();
    for (command, count) in [(0xe1, 0), (0xe5, 0), (0x10, 0), (0x70, 0), (0xe0, 0)] {
        b.task(0xe0, count, [0, 0, 0], command);
        b.wait();
        assert!(b.irq());
        assert_eq!(b.inb(STATUS), 0x50, "{command:x}");
        if command == 0xe5 {
            assert_eq!(b.inb(2), 0xff);
        }
    }
    b.out(STATUS, 0xe5);
    b.wait();
    assert_eq!(b.inb(2), 0, "standby");
    b.task(0xe0, 0, [0, 0, 0], 0xf8);
    b.wait();
    assert_eq!(b.lbas(), [0xcf, 7, 0]);
    b.out(STATUS, 0x08);
    b.wait();
    assert_eq!((b.inb(STATUS), b.inb(1)), (0x51, 4), "DEVICE RESET is for packet devices");
    b.out(STATUS, 0x90);
    b.wait();
    assert!(b.irq());
    assert_eq!((b.inb(STATUS), b.inb(1)), (0x50, 1));
    b.out(1, 3);
    b.out(2, 0x42);
    b.out(STATUS, 0xef);
    b.wait();
    b.out(STATUS, 0xec);
    assert_eq!(words(&b.read_all())[88], 0x0407, "ultra DMA 2 is on");
    b.out(1, 0xda);
    b.task(0xa0, 0, [0, 0x4f, 0xc2], 0xb0);
    b.wait();
    assert_eq!((b.inb(STATUS), b.lbas()), (0x50, [0, 0x4f, 0xc2]), "SMART: all is well");
    b.out(STATUS, 0xe6);
    b.wait();
    b.out(STATUS, 0xec);
    assert_eq!(b.ide.deadline(), None, "asleep");
}

#[test]
fn identify_packet_device_and_the_wrong_question() {
    let mut b = bench();
    b.channel = 1;
    b.out(STATUS, 0xec);
    b.wait();
    assert_eq!((b.inb(STATUS) & 1, b.inb(1), b.lbas()), (1, 4, [1, 0x14, 0xeb]));
    b.out(STATUS, 0xa1);
    let w = words(&b.read_all());
    assert_eq!(w[0], 0x85c0);
    assert_eq!(text(&w[27..47]).trim(), "LUCID86 CD-ROM");
    assert_eq!(b.inb(STATUS) & 0xc9, 0x40);
}

#[test]
fn a_cd_is_read_by_pio_in_blocks_of_the_limit() {
    let mut b = bench().awake();
    assert_eq!(b.packet(&[0]), Ok(vec![]));
    assert_eq!(b.packet(&[0x25]), Ok(vec![0, 0, 0, 99, 0, 0, 8, 0]));
    b.send(&[0x28, 0, 0, 0, 0, 16, 0, 0, 2], 0, 1001);
    b.wait();
    assert!(b.irq());
    assert_eq!((b.inb(2) & 3, b.inb(4), b.inb(5)), (2, 0xe8, 3), "1,000 bytes to the host");
    assert_eq!(b.read_all(), disk_bytes(400)[16 * 2048..18 * 2048]);
    assert_eq!((b.inb(2) & 3, b.inb(STATUS)), (3, 0x50));
}

#[test]
fn a_cd_is_read_by_bus_master() {
    let mut b = bench().awake();
    b.prd(0x1000, &[(0x10000, 0x2000)]);
    b.send(&[0xa8, 0, 0, 0, 0, 96, 0, 0, 0, 4], 1, 0);
    b.master(9);
    b.wait();
    assert!(b.irq());
    assert_eq!((b.master_status() & 7, b.inb(2) & 3, b.inb(STATUS)), (4, 3, 0x50));
    assert_eq!(b.w.ram.0[0x10000..0x12000], disk_bytes(400)[96 * 2048..]);
}

#[test]
fn packet_errors_leave_sense() {
    let mut b = bench().awake();
    assert_eq!(b.packet(&[0x28, 0, 0, 0, 0, 99, 0, 0, 2]), Err(5));
    assert_eq!(b.sense(), [5, 0x21, 0]);
    assert_eq!(b.sense(), [0, 0, 0]);
    assert_eq!(b.packet(&[0xff]), Err(5));
    assert_eq!(b.sense(), [5, 0x20, 0]);
    b.w.media.0[2].as_mut().unwrap().bad = Some(5000);
    assert_eq!(b.packet(&[0x28, 0, 0, 0, 0, 2, 0, 0, 1]), Err(3));
    assert_eq!(b.sense(), [3, 0x11, 0]);
}

#[test]
fn media_come_and_go() {
    let mut b = bench().awake();
    assert_eq!(b.packet(&[0x1e, 0, 0, 0, 1]), Ok(vec![]));
    assert_eq!(b.packet(&[0x1b, 0, 0, 0, 2]), Err(5));
    assert_eq!(b.sense(), [5, 0x53, 2]);
    assert_eq!(b.packet(&[0x1e]), Ok(vec![]));
    assert_eq!(b.packet(&[0x1b, 0, 0, 0, 2]), Ok(vec![]));
    assert!(matches!(b.ide.unit(2), Some(Unit::Cd(cd)) if cd.tray_open()));
    assert_eq!(b.packet(&[0]), Err(2));
    assert_eq!(b.sense(), [2, 0x3a, 2]);
    assert_eq!(b.packet(&[0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]), Ok(vec![0, 6, 4, 0x10, 3, 1, 0, 0]));
    b.w.media.0[2] = Some(Image::new(disk_bytes(8)));
    b.ide.medium_changed(2, true);
    assert_eq!(b.packet(&[0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]), Ok(vec![0, 6, 4, 0x10, 2, 2, 0, 0]));
    assert_eq!(b.packet(&[0]), Err(6));
    assert_eq!(b.sense(), [6, 0x28, 0]);
    assert_eq!(b.packet(&[0x25]), Ok(vec![0, 0, 0, 1, 0, 0, 8, 0]));
}

#[test]
fn tables_of_contents() {
    let mut b = bench().awake();
    let toc = b.packet(&[0x43, 0, 0, 0, 0, 0, 0, 0, 100]).unwrap();
    assert_eq!(toc, [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 0, 100]);
    let toc = b.packet(&[0x43, 2, 0, 0, 0, 0, 0xaa, 0, 100]).unwrap();
    assert_eq!(toc, [0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 3, 25]); // 100 + 150 frames
    let sessions = b.packet(&[0x43, 0, 1, 0, 0, 0, 0, 0, 100]).unwrap();
    assert_eq!(sessions, [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]);
    assert_eq!(b.packet(&[0x43, 0, 2, 0, 0, 0, 0, 0, 100]).unwrap().len(), 4 + 4 * 11);
    assert_eq!(
        b.packet(&[0x43, 0, 0, 0, 0, 0, 0, 0, 5]).unwrap().len(),
        6,
        "cut to 5 bytes, padded to words on the cable"
    );
}

#[test]
fn the_drive_tells_about_itself() {
    let mut b = bench();
    let inquiry = b.packet(&[0x12, 0, 0, 0, 36]).unwrap();
    assert_eq!((inquiry.len(), inquiry[0], inquiry[1], inquiry[4]), (36, 5, 0x80, 31));
    assert_eq!(&inquiry[8..32], b"LUCID86 CD-ROM          ");
    let mut b = b.awake();
    let mode = b.packet(&[0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 100]).unwrap();
    assert_eq!((mode.len(), mode[1], mode[2], mode[8], mode[9]), (30, 28, 1, 0x2a, 20));
    let mode = b.packet(&[0x1a, 0, 0x3f, 0, 100]).unwrap();
    assert_eq!(mode[0] as usize, mode.len() - 1);
    assert_eq!((mode[4], mode[5], mode[12], mode[13]), (1, 6, 0x0e, 0x0e));
    assert_eq!(b.packet(&[0x5a, 0, 0xc1, 0, 0, 0, 0, 0, 100]), Err(5));
    assert_eq!(b.sense(), [5, 0x39, 0]);
    let features = b.packet(&[0x46, 0, 0, 0, 0, 0, 0, 1, 0]).unwrap();
    assert_eq!(
        u32::from_be_bytes([features[0], features[1], features[2], features[3]]) as usize,
        features.len() - 4
    );
    assert_eq!(features[6..8], [0, 8]);
    let disc = b.packet(&[0x51, 0, 0, 0, 0, 0, 0, 0, 200]).unwrap();
    assert_eq!((disc.len(), disc[1], disc[2]), (34, 32, 0x0e));
    assert_eq!(b.packet(&[0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8]).unwrap().len(), 8);
}

#[test]
fn read_cd_yields_raw_sectors() {
    let mut b = bench().awake();
    let raw = b.packet(&[0xbe, 0, 0, 0, 0, 3, 0, 0, 2, 0xf8]).unwrap();
    assert_eq!(raw.len(), 2 * 2352);
    assert_eq!(raw[16..16 + 2048], disk_bytes(400)[3 * 2048..4 * 2048]);
    assert_eq!(raw[2352 + 12..2352 + 16], [0, 2, 4, 1]);
    let cooked = b.packet(&[0xbe, 0, 0, 0, 0, 3, 0, 0, 1, 0x10]).unwrap();
    assert_eq!(cooked, disk_bytes(400)[3 * 2048..4 * 2048]);
    assert_eq!(b.packet(&[0xbe, 4, 0, 0, 0, 3, 0, 0, 1, 0x10]), Err(5));
}

#[test]
fn a_block_that_is_not_whole_ends_in_zeros() {
    let mut b = bench().awake();
    b.w.media.0[2] = Some(Image::new(vec![7; 2048 + 100]));
    let data = b.packet(&[0x28, 0, 0, 0, 0, 1, 0, 0, 1]).unwrap();
    assert!(data[..100].iter().all(|&x| x == 7) && data[100..].iter().all(|&x| x == 0));
}

#[test]
fn device_reset_stops_a_packet() {
    let mut b = bench().awake();
    b.send(&[0x28, 0, 0, 0, 0, 0, 0, 0, 9], 0, 0xfffe);
    b.out(STATUS, 0x08);
    b.wait();
    assert_eq!((b.inb(STATUS), b.inb(1), b.lbas()), (0, 1, [1, 0x14, 0xeb]));
}

/// Random accesses to every port neither panic nor hang, and the state stays small.
#[test]
fn fuzz() {
    for seed in 1..=30u64 {
        let mut r = Random(seed);
        let mut b = bench();
        for _ in 0..8_000 {
            b.channel = r.below(2) as usize;
            let width = [Width::Byte, Width::Word, Width::Dword][r.below(3) as usize];
            let value = r.next() as u32;
            let interesting =
                [0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0xa0, 0xa1, 0xc4, 0xc5, 0xc8, 0xca, 0xef, 0xb0];
            let commands = [0x28, 0xa8, 0xbe, 0x43, 0x5a, 0x46, 0x4a, 0x12, 0x1b, 3, 0, 0x25, 0x42, 0xb9];
            let channel = b.channel;
            match r.below(14) {
                0..=2 => b.out(r.below(7) as u16 + 1, value as u8),
                3 => b.out(r.below(5) as u16 + 2, value as u8 & 3),
                4 => b.out(STATUS, interesting[r.below(15) as usize]),
                5 => drop(b.inb(r.below(9) as u16)),
                6 => {
                    let mut buffer = vec![0; r.below(3000) as usize];
                    b.ide.read_data(&mut b.w.ctx(), channel, &mut buffer);
                }
                7 => {
                    let mut packet: Vec<u8> =
                        (0..r.below(3000)).map(|_| (r.next() >> 40) as u8 & 0x1f).collect();
                    if let Some(first) = packet.first_mut() {
                        *first = commands[r.below(14) as usize];
                    }
                    b.ide.write_data(&mut b.w.ctx(), channel, &packet);
                }
                8 => b.ide.write_bus_master(&mut b.w.ctx(), r.below(16) as u16, width, value & 0x3f_ffff),
                9 => b.ide.write_command(&mut b.w.ctx(), channel, r.below(8) as u16, width, value),
                10 if r.below(10) == 0 => b.control(value as u8 & !4),
                11 if r.below(20) == 0 => {
                    b.control(4);
                    b.control(0);
                }
                12 => b.wait(),
                _ => {
                    b.w.now.0 += r.below(100_000);
                    let _ = b.ide.read_bus_master(&mut b.w.ctx(), r.below(16) as u16, width);
                    let _ = b.ide.read_control(&mut b.w.ctx(), channel);
                }
            }
        }
        assert!(format!("{:?}", b.ide).len() < 1 << 20);
    }
}
