//! The controller by its registers, on an NE2000. Expectations are the DP8390D datasheet's, by section, and AN-937's tables.

use super::crc;
use crate::bench::Bench;
use crate::net::NetworkCard;
use crate::net::ne2000::{Ne2000, RAM};
use crate::{Ports, Width};

const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
const BROADCAST: [u8; 6] = [0xff; 6];

/// A card with its ring at pages 46h to 7Fh, as drivers set it up (section 11, initialization sequence).
struct Rig {
    bench: Bench,
    card: Ne2000,
}

impl Rig {
    fn new() -> Rig {
        Rig { bench: Bench::new(), card: Ne2000::isa(0, MAC, RAM) }
    }

    /// Started, word transfers, own address and broadcasts.
    fn started(dcr: u8) -> Rig {
        let mut r = Rig::new();
        r.set_up(dcr, 0x04, 0);
        r
    }

    fn set_up(&mut self, dcr: u8, rcr: u8, tcr: u8) {
        for (register, value) in
            [(0, 0x21), (14, dcr), (10, 0), (11, 0), (12, rcr), (13, tcr), (3, 0x46), (1, 0x46), (2, 0x80)]
        {
            self.out(register, value);
        }
        self.out(7, 0xff);
        self.out(15, 0);
        self.out(0, 0x61);
        for (i, byte) in MAC.into_iter().enumerate() {
            self.out(1 + i as u16, byte);
        }
        self.out(7, 0x47);
        self.out(0, 0x22);
    }

    fn out(&mut self, port: u16, value: u8) {
        self.bench.outb(&mut self.card, port, value);
    }

    fn inb(&mut self, port: u16) -> u8 {
        self.bench.inb(&mut self.card, port)
    }

    fn inw(&mut self) -> u16 {
        self.card.read(&mut self.bench.ctx(), 0x10, Width::Word) as u16
    }

    fn outw(&mut self, value: u16) {
        self.card.write(&mut self.bench.ctx(), 0x10, Width::Word, value.into());
    }

    fn remote(&mut self, addr: u16, count: u16, command: u8) {
        let [al, ah] = addr.to_le_bytes();
        let [cl, ch] = count.to_le_bytes();
        for (register, value) in [(8, al), (9, ah), (10, cl), (11, ch), (0, command)] {
            self.out(register, value);
        }
    }

    fn read_words(&mut self, addr: u16, count: u16) -> Vec<u8> {
        self.remote(addr, count, 0x0a);
        (0..count / 2).flat_map(|_| self.inw().to_le_bytes()).collect()
    }

    fn write_words(&mut self, addr: u16, bytes: &[u8]) {
        self.remote(addr, bytes.len() as u16, 0x12);
        bytes.chunks(2).for_each(|w| self.outw(u16::from_le_bytes([w[0], w[1]])));
    }

    fn send(&mut self, bytes: &[u8]) {
        self.write_words(0x4000, bytes);
        let [low, high] = (bytes.len() as u16).to_le_bytes();
        for (register, value) in [(4, 0x40), (5, low), (6, high), (0, 0x26)] {
            self.out(register, value);
        }
    }

    fn curr(&mut self) -> u8 {
        self.out(0, 0x62);
        let curr = self.inb(7);
        self.out(0, 0x22);
        curr
    }
}

fn frame(to: [u8; 6], len: usize) -> Vec<u8> {
    let mut f = to.to_vec();
    f.extend([2, 0, 0, 0, 0, 1, 0x08, 0x00]);
    f.extend((f.len()..len).map(|i| i as u8));
    f
}

#[test]
fn reset_sets_what_section_11_lists() {
    let mut r = Rig::new();
    r.out(0, 0x22);
    r.out(15, 0x7f);
    r.inb(0x18);
    r.out(0x18, 0);
    assert_eq!(r.inb(0), 0x21, "STP and RD2 set, TXP and STA clear");
    assert_eq!(r.inb(7) & 0x80, 0x80, "RST in ISR");
    r.out(0, 0xa1);
    assert_eq!(r.inb(15) & 0x7f, 0, "IMR clear");
    assert_eq!(r.inb(13) & 6, 0, "LB1, LB0 clear");
    r.out(0, 0x22);
    assert_eq!(r.inb(7) & 0x80, 0, "a start command clears RST");
}

#[test]
fn the_prom_holds_the_address_twice_and_w() {
    let mut r = Rig::new();
    r.out(14, 0x48);
    r.remote(0, 32, 0x0a);
    let prom: Vec<u8> = (0..32).map(|_| r.inb(0x10)).collect();
    for (i, byte) in MAC.into_iter().enumerate() {
        assert_eq!(prom[2 * i..2 * i + 2], [byte, byte]);
    }
    assert_eq!(prom[28..], [0x57; 4]);
    assert_eq!(r.inb(7) & 0x40, 0x40, "RDC");
}

#[test]
fn remote_dma_moves_words_and_bytes() {
    let mut r = Rig::started(0x49);
    let bytes: Vec<u8> = (0..=255).collect();
    r.write_words(0x4100, &bytes);
    assert_eq!(r.inb(7) & 0x40, 0x40);
    assert_eq!(u16::from_le_bytes([r.inb(8), r.inb(9)]), 0x4200, "CRDA");
    r.out(7, 0x40);
    assert_eq!(r.read_words(0x4100, 256), bytes);
    assert_eq!(r.inb(7) & 0x40, 0x40);
    r.out(14, 0x48);
    r.remote(0x4103, 3, 0x0a);
    assert_eq!([r.inb(0x10), r.inb(0x10), r.inb(0x10), r.inb(0x10)], [3, 4, 5, 0xff]);
}

#[test]
fn rows_are_single_transfers_but_for_the_last() {
    let mut r = Rig::started(0x49);
    let bytes: Vec<u8> = (0..100).collect();
    r.remote(0x4100, 100, 0x12);
    assert_eq!(r.card.write_row(&bytes, 2), 98);
    assert_eq!(r.inb(7) & 0x40, 0);
    r.outw(u16::from_le_bytes([98, 99]));
    assert_eq!(r.inb(7) & 0x40, 0x40);
    r.remote(0x4100, 100, 0x0a);
    let mut back = [0; 64];
    assert_eq!(r.card.read_row(&mut back, 2), 64);
    assert_eq!(back[..], bytes[..64]);
}

#[test]
fn rows_of_double_words_are_two_transfers_each() {
    let mut r = Rig::started(0x49);
    let bytes: Vec<u8> = (0..64).collect();
    assert!(r.card.is_row(0x10, 4) && !r.card.is_row(0x10, 1) && !r.card.is_row(0x18, 2));
    r.remote(0x4100, 62, 0x12);
    assert_eq!(r.card.write_row(&bytes, 4), 60, "the last access completes the transfer");
    r.outw(u16::from_le_bytes([60, 61]));
    assert_eq!(r.inb(7) & 0x40, 0x40);
    r.remote(0x4100, 62, 0x0a);
    let mut back = [0; 64];
    assert_eq!(r.card.read_row(&mut back, 4), 60);
    assert_eq!(back[..60], bytes[..60]);
}

#[test]
fn remote_reads_go_round_the_ring() {
    let mut r = Rig::started(0x49);
    r.write_words(0x7ffe, &[1, 2]);
    r.write_words(0x4600, &[3, 4]);
    assert_eq!(r.read_words(0x7ffe, 4), [1, 2, 3, 4]);
}

#[test]
fn a_packet_is_stored_behind_four_bytes_of_header() {
    let mut r = Rig::started(0x49);
    r.out(15, 1);
    let f = frame(MAC, 60);
    r.card.receive(&f);
    assert!(r.card.irq());
    assert_eq!((r.inb(7), r.inb(12)), (1, 1), "PRX in ISR and RSR");
    assert_eq!(r.curr(), 0x48);
    let stored = r.read_words(0x4700, 68);
    assert_eq!(stored[..4], [1, 0x48, 64, 0], "status, next page, count with the CRC");
    assert_eq!(stored[4..64], f);
    assert_eq!(stored[64..], crc::fcs(&f));
    r.out(7, 1);
    assert!(!r.card.irq());
    r.card.receive(&frame(BROADCAST, 300));
    assert_eq!(r.inb(12), 0x21, "PHY for a broadcast");
    assert_eq!(r.read_words(0x4800, 4), [0x21, 0x4a, 0x30, 1]);
}

#[test]
fn packets_go_round_the_end_of_the_ring() {
    let mut r = Rig::started(0x49);
    r.out(0, 0x62);
    r.out(7, 0x7e);
    r.out(0, 0x22);
    let f = frame(MAC, 1000);
    r.out(3, 0x7d);
    r.card.receive(&f);
    assert_eq!(r.curr(), 0x48, "7E, 7F, 46, 47");
    let stored = r.read_words(0x7e00, 1004);
    assert_eq!(stored[..4], [1, 0x48, 0xec, 3]);
    assert_eq!(stored[4..], f);
}

#[test]
fn send_packet_removes_the_packet_at_the_boundary() {
    let mut r = Rig::started(0x49);
    r.out(3, 0x47);
    let f = frame(MAC, 64);
    r.card.receive(&f);
    r.out(11, 0x0f); // section 9: RBCR1 must be loaded with 0Fh first
    r.out(0, 0x1a);
    let read: Vec<u8> = (0..34).flat_map(|_| r.inw().to_le_bytes()).collect();
    assert_eq!(read[4..68], f);
    assert_eq!(r.inb(7) & 0x40, 0x40);
    assert_eq!(r.inb(3), 0x48, "BNRY is the next page");
}

#[test]
fn the_filter_lets_through_what_rcr_says() {
    let other = [2, 0, 0, 0, 0, 9];
    let group = [0x01, 0x00, 0x5e, 0, 0, 1];
    // IEEE CRC of 01:00:5E:00:00:01: upper six bits 1Fh, as Linux's ether_crc gives for the all-hosts group.
    let bit = crc::multicast_bit(&group);
    assert_eq!(bit, 0x1f);
    for (rcr, to, passes) in [
        (0x00, MAC, true),
        (0x00, BROADCAST, false),
        (0x04, BROADCAST, true),
        (0x00, other, false),
        (0x10, other, true),
        (0x10, BROADCAST, false),
        (0x08, group, true),
        (0x08, [0x01, 0x00, 0x5e, 0, 0, 2], false),
        (0x04, group, false),
    ] {
        let mut r = Rig::new();
        r.set_up(0x49, rcr, 0);
        r.out(0, 0x62);
        r.out(8 + (bit as u16 >> 3), 1 << (bit & 7));
        r.out(0, 0x22);
        r.card.receive(&frame(to, 60));
        assert_eq!(r.inb(7) & 1 == 1, passes, "RCR {rcr:02x}, to {to:02x?}");
    }
}

#[test]
fn runts_are_taken_only_when_asked_for() {
    let mut r = Rig::started(0x49);
    r.card.receive(&frame(MAC, 59));
    assert_eq!(r.inb(7), 0);
    r.out(12, 0x02);
    r.card.receive(&frame(MAC, 20));
    assert_eq!(r.inb(7), 1);
}

#[test]
fn monitor_mode_counts_and_keeps_nothing() {
    let mut r = Rig::started(0x49);
    r.out(12, 0x24);
    for _ in 0..127 {
        r.card.receive(&frame(MAC, 60));
    }
    r.card.receive(&frame([2, 0, 0, 0, 0, 9], 60));
    assert_eq!(r.inb(7), 0);
    assert_eq!(r.inb(12) & 0x50, 0x50, "MPA, DIS");
    r.card.receive(&frame(MAC, 60));
    assert_eq!(r.inb(7), 0x20, "CNT when the most significant bit is set");
    assert_eq!(r.inb(15), 128);
    assert_eq!(r.inb(15), 0, "reading clears");
    assert_eq!(r.curr(), 0x47);
    for _ in 0..300 {
        r.card.receive(&frame(MAC, 60));
    }
    assert_eq!(r.inb(15), 192, "counters stop at C0h");
}

/// Section 7, "Buffer ring overflow": the procedure in its ten steps.
#[test]
fn the_overflow_procedure_brings_the_card_back() {
    let mut r = Rig::started(0x49);
    let mut packets = 0;
    while r.inb(7) & 0x10 == 0 {
        r.card.receive(&frame(MAC, 1500));
        packets += 1;
        assert!(packets < 20);
    }
    assert_eq!(r.inb(7) & 0x80, 0x80, "RST with OVW");
    assert_eq!(r.inb(15), 1, "the missed packet is counted");
    assert!(!r.card.ready());
    let full = r.curr();
    assert_eq!(r.inb(0) & 4, 0, "1: TXP");
    r.out(0, 0x21); // 2: stop; 3: wait 1.6 ms
    r.bench.pass(1_600_000);
    r.out(10, 0); // 4
    r.out(11, 0);
    r.out(13, 2); // 6: loopback mode 1
    r.out(0, 0x22); // 7: start
    r.card.receive(&frame(MAC, 60));
    assert_eq!(r.curr(), full, "nothing is received in loopback");
    let next = r.read_words(0x4700, 4)[1]; // 8: remove a packet
    r.out(3, next - 1);
    r.out(7, 0x10); // 9
    r.out(13, 0); // 10
    assert_eq!(r.inb(7) & 0x90, 0);
    r.card.receive(&frame(MAC, 1000));
    assert_ne!(r.curr(), full);
}

#[test]
fn sending_takes_the_packet_from_tpsr() {
    let mut r = Rig::started(0x49);
    r.out(15, 2);
    let f = frame(BROADCAST, 60);
    r.send(&f);
    assert_eq!(r.bench.outside.packets, std::slice::from_ref(&f));
    assert!(r.card.irq());
    assert_eq!((r.inb(7) & 2, r.inb(4), r.inb(0) & 4), (2, 1, 0), "PTX, PTX in TSR, TXP clear");
    // With the CRC inhibited software supplies it; one that is wrong reaches nobody.
    r.out(13, 1);
    r.send(&[f.clone(), crc::fcs(&f).to_vec()].concat());
    r.send(&[f.clone(), vec![0; 4]].concat());
    assert_eq!(r.bench.outside.packets, [f.clone(), f]);
}

/// AN-937: results by mode, and the alignment of a packet of 8n + 5 bytes in the FIFO (section 12).
#[test]
fn loopback_shows_the_last_bytes_in_the_fifo() {
    for (tcr, tsr) in [(0x02, 0x53), (0x04, 0x43), (0x06, 0x03)] {
        let mut r = Rig::new();
        r.set_up(0x40, 0x04, tcr);
        let f = frame(MAC, 65);
        r.remote(0x4000, 65, 0x12);
        f.iter().for_each(|b| r.out(0x10, *b));
        for (register, value) in [(4, 0x40), (5, 65), (6, 0), (7, 0xff), (0, 0x26)] {
            r.out(register, value);
        }
        assert_eq!((r.inb(4), r.inb(12), r.inb(7)), (tsr, 0x02, 0x02), "TCR {tcr:02x}");
        let crc = crc::fcs(&f);
        let fifo: Vec<u8> = (0..8).map(|_| r.inb(6)).collect();
        // 69 bytes with the CRC: 8 * 8 + 5.
        assert_eq!(fifo, [f[64], crc[0], crc[1], crc[2], crc[3], 69, 0, 0]);
    }
}

#[test]
fn loopback_checks_a_crc_from_software() {
    let mut r = Rig::new();
    r.set_up(0x40, 0x00, 0x03);
    let f = frame(MAC, 60);
    let whole = [f.clone(), crc::fcs(&f).to_vec()].concat();
    let mut status = |bytes: &[u8]| {
        r.remote(0x4000, bytes.len() as u16, 0x12);
        bytes.iter().for_each(|b| r.out(0x10, *b));
        for (register, value) in [(4, 0x40), (5, bytes.len() as u8), (6, 0), (0, 0x26)] {
            r.out(register, value);
        }
        r.inb(12)
    };
    assert_eq!(status(&whole), 1, "received intact");
    let mut wrong = whole.clone();
    wrong[20] ^= 1;
    assert_eq!(status(&wrong), 2, "CRC error");
    let foreign = frame([2, 0, 0, 0, 0, 9], 60);
    assert_eq!(status(&[foreign.clone(), crc::fcs(&foreign).to_vec()].concat()), 0, "not for this address");
}

#[test]
fn pages_one_and_two_read_back() {
    let mut r = Rig::started(0x49);
    r.out(0, 0x62);
    assert_eq!(r.inb(1), MAC[0]);
    assert_eq!(r.inb(6), MAC[5]);
    r.out(15, 0xa5);
    assert_eq!(r.inb(15), 0xa5, "MAR7");
    r.out(0, 0xa2);
    assert_eq!((r.inb(1), r.inb(2), r.inb(14) & 0x7f, r.inb(12) & 0x3f), (0x46, 0x80, 0x49, 0x04));
}

#[test]
fn the_pci_card_is_a_rtl8029() {
    use crate::pci::PciFunction;
    let mut card = Ne2000::pci(0, MAC, 0);
    let mut bench = Bench::new();
    assert_eq!(card.config_read(0, Width::Dword), 0x8029_10ec);
    assert_eq!(card.config_read(0x0a, Width::Word), 0x0200);
    let _ = card.config_write(0x10, Width::Dword, !0);
    assert_eq!(card.config_read(0x10, Width::Dword), 0xffff_ffe1);
    assert_eq!([bench.inb(&mut card, 10), bench.inb(&mut card, 11)], *b"PC");
}

/// A driver as the datasheet's section 11 and AN-874 describe it: BNRY one behind the next packet to read, headers believed.
#[test]
fn a_driver_gets_every_frame_in_order() {
    let mut r = Rig::started(0x49);
    let (mut sent, mut got, mut seed) = (0u32, 0u32, 7u32);
    let mut next = 0x47u8;
    while got < 3000 {
        while r.card.ready() && sent - got < 40 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut f = frame(MAC, 60 + (seed >> 16) as usize % 1455);
            f[14..18].copy_from_slice(&sent.to_le_bytes());
            r.card.receive(&f);
            sent += 1;
        }
        for _ in 0..1 + (seed >> 8) % 10 {
            if next == r.curr() {
                break;
            }
            r.remote(u16::from(next) << 8, 4, 0x0a);
            let mut header = [0; 4];
            let n = r.card.read_row(&mut header, 2);
            assert_eq!(n, 2);
            header[2..].copy_from_slice(&r.inw().to_le_bytes());
            let len = u16::from_le_bytes([header[2], header[3]]) - 4;
            r.remote((u16::from(next) << 8) + 4, len, 0x0a);
            let mut body = vec![0; usize::from(len & !1)];
            let mut at = 0;
            while at < body.len() {
                let n = r.card.read_row(&mut body[at..], 2);
                at += n;
                if n == 0 {
                    body[at..at + 2].copy_from_slice(&r.inw().to_le_bytes());
                    at += 2;
                }
            }
            if len & 1 != 0 {
                r.inb(0x10);
            }
            assert_eq!(body[14..18], got.to_le_bytes(), "page {next:x}, header {header:x?}");
            got += 1;
            next = header[1];
            // As Linux does it, out of the ring when the next packet is at its start.
            r.out(3, next - 1);
        }
        r.out(7, 1);
    }
}

#[test]
fn a_driver_that_polls_empties_the_ring_without_a_word() {
    let mut r = Rig::started(0x49);
    assert!(r.card.emptied() && r.card.acknowledged());
    r.card.receive(&frame(MAC, 60));
    assert!(!r.card.emptied() && !r.card.acknowledged());
    r.out(3, 0x47);
    assert!(r.card.emptied() && !r.card.acknowledged());
}
