//! Programmed input and output of a disk: REP INS and OUTS move rows of words at once, and nobody can tell.

mod common;

use common::{TempFile, config, machine, run};
use iced_x86::code_asm::*;
use lucid86_machine::config::LogSpec;
use lucid86_machine::{Config, Outcome, View};

const SECTOR: usize = 512;
/// Where the guest puts what it reads.
const READ: i32 = 0x20_0000;
const AGAIN: i32 = 0x30_0000;

/// A disk of 64 sectors, no two words of a sector alike.
fn image() -> Vec<u8> {
    (0..64 * SECTOR as u32 / 2).flat_map(|i| (i.wrapping_mul(0x9e37) as u16).to_le_bytes()).collect()
}

/// ATA/ATAPI-6: device and LBA registers, count, command; then the data blocks as DRQ announces them. `transfer` is the
/// repeated instruction for one sector.
fn command(a: &mut CodeAssembler, code: i32, lba: i32, sectors: i32, transfer: impl Fn(&mut CodeAssembler)) {
    let mut busy = a.create_label();
    a.mov(dx, 0x1f7).unwrap();
    a.set_label(&mut busy).unwrap();
    a.in_(al, dx).unwrap();
    a.test(al, 0x80).unwrap();
    a.jne(busy).unwrap();
    for (port, value) in
        [(0x1f6, 0xe0), (0x1f2, sectors), (0x1f3, lba), (0x1f4, 0), (0x1f5, 0), (0x1f7, code)]
    {
        a.mov(dx, port).unwrap();
        a.mov(al, value).unwrap();
        a.out(dx, al).unwrap();
    }
    let (mut sector, mut poll) = (a.create_label(), a.create_label());
    a.mov(ebx, sectors).unwrap();
    a.set_label(&mut sector).unwrap();
    a.mov(dx, 0x1f7).unwrap();
    a.set_label(&mut poll).unwrap();
    a.in_(al, dx).unwrap();
    a.and(al, 0x88).unwrap();
    a.cmp(al, 0x08).unwrap(); // DRQ without BSY
    a.jne(poll).unwrap();
    a.mov(dx, 0x1f0).unwrap();
    transfer(a);
    a.dec(ebx).unwrap();
    a.jne(sector).unwrap();
}

/// Reads eight sectors, writes them elsewhere by double words, reads those back; the end's state hash and memory.
fn copy(name: &str, log: Option<LogSpec>) -> (Vec<(String, u64)>, Vec<u8>, Vec<u8>) {
    let disk = TempFile::new(&format!("pio-{name}.img"), &image());
    let mut c = Config { discard_writes: true, ..config() };
    c.hd[0] = Some(disk.0.clone());
    c.log = log.unwrap_or_default();
    let mut m = machine(&format!("pio-{name}"), c, |a| {
        a.cld().unwrap();
        a.mov(edi, READ).unwrap();
        command(a, 0x20, 1, 8, |a| {
            a.mov(ecx, SECTOR as i32 / 2).unwrap();
            a.rep().insw().unwrap();
        });
        a.mov(esi, READ).unwrap();
        command(a, 0x30, 40, 8, |a| {
            a.mov(ecx, SECTOR as i32 / 4).unwrap();
            a.rep().outsd().unwrap();
        });
        // This time into a buffer that crosses a page in the middle of a sector.
        a.mov(edi, AGAIN + 0xf01).unwrap();
        command(a, 0x20, 40, 8, |a| {
            a.mov(ecx, SECTOR as i32 / 4).unwrap();
            a.rep().insd().unwrap();
        });
        a.mov(al, 1).unwrap();
        a.out(0xf4, al).unwrap();
        a.hlt().unwrap();
    });
    let (outcome, _) = run(&mut m);
    assert_eq!(outcome, Outcome::DebugExit(1), "after {} instructions", m.count());
    let hash = m.state_hash_parts();
    let memory = |at: i32| {
        let mut bytes = vec![0; 8 * SECTOR];
        m.read_memory(at as u64, &mut bytes);
        bytes
    };
    (hash, memory(READ), memory(AGAIN + 0xf01))
}

#[test]
fn sectors_arrive_whole() {
    let (_, read, again) = copy("whole", None);
    assert_eq!(read, &image()[SECTOR..9 * SECTOR]);
    assert_eq!(again, read);
}

#[test]
fn rows_leave_no_trace() {
    // The log of chip accesses wants each access by itself.
    let log = LogSpec { chips: true, ..LogSpec::default() };
    assert_eq!(copy("trace", None).0, copy("trace", Some(log)).0);
}
