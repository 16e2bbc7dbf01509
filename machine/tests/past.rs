//! A machine that goes back in time and comes to its present again is the one that it was: what it puts out, what it writes
//! to its disk and how it ends are those of a machine that never went back.

mod common;

use common::{TempFile, config, kernel, machine};
use iced_x86::code_asm::*;
use lucid86_machine::config::ClockKind;
use lucid86_machine::debug::{Goal, Kind, Motion, Why};
use lucid86_machine::{Collect, Config, HostIo, Machine, Outcome, View};
use std::sync::OnceLock;

/// Sectors that the guest writes.
const ROUNDS: i32 = 60;
/// Bytes of a sector.
const SECTOR: usize = 512;
/// What the first sector is filled with.
const FIRST: u8 = 0x21;
/// Where the guest makes a sector.
const BUFFER: i32 = 0x20_0000;

/// For each sector, with COM1 at eight bits a character: a character to COM1 when its transmitter is empty (16550: LSR bit
/// 5), the sector full of that character to the disk (ATA/ATAPI-6: WRITE SECTORS, FLUSH CACHE). Then the debug exit.
fn guest(a: &mut CodeAssembler) {
    let mut round = a.create_label();
    a.cld().unwrap();
    a.mov(dx, 0x3fb).unwrap();
    a.mov(al, 3).unwrap();
    a.out(dx, al).unwrap();
    a.xor(esi, esi).unwrap();
    a.set_label(&mut round).unwrap();
    let mut empty = a.create_label();
    a.mov(dx, 0x3fd).unwrap();
    a.set_label(&mut empty).unwrap();
    a.in_(al, dx).unwrap();
    a.test(al, 0x20).unwrap();
    a.je(empty).unwrap();
    a.mov(dx, 0x3f8).unwrap();
    a.lea(eax, dword_ptr(esi + i32::from(FIRST))).unwrap();
    a.out(dx, al).unwrap();
    a.mov(edi, BUFFER).unwrap();
    a.mov(ecx, SECTOR as i32).unwrap();
    a.rep().stosb().unwrap();
    wait(a, 0x80, 0);
    for (port, value) in [(0x1f6, 0xe0), (0x1f2, 1), (0x1f4, 0), (0x1f5, 0)] {
        a.mov(dx, port).unwrap();
        a.mov(al, value).unwrap();
        a.out(dx, al).unwrap();
    }
    a.mov(dx, 0x1f3).unwrap();
    a.mov(eax, esi).unwrap();
    a.out(dx, al).unwrap();
    a.mov(dx, 0x1f7).unwrap();
    a.mov(al, 0x30).unwrap();
    a.out(dx, al).unwrap();
    wait(a, 0x88, 0x08);
    a.xchg(esi, ebx).unwrap();
    a.mov(esi, BUFFER).unwrap();
    a.mov(ecx, SECTOR as i32 / 2).unwrap();
    a.mov(dx, 0x1f0).unwrap();
    a.rep().outsw().unwrap();
    a.mov(esi, ebx).unwrap();
    wait(a, 0x80, 0);
    a.mov(al, 0xe7).unwrap();
    a.out(dx, al).unwrap();
    wait(a, 0x80, 0);
    a.inc(esi).unwrap();
    a.cmp(esi, ROUNDS).unwrap();
    a.jb(round).unwrap();
    a.mov(eax, 7u32).unwrap();
    a.out(0xf4, al).unwrap();
}

/// Until the disk's status under `mask` is this.
fn wait(a: &mut CodeAssembler, mask: i32, value: i32) {
    let mut again = a.create_label();
    a.mov(dx, 0x1f7).unwrap();
    a.set_label(&mut again).unwrap();
    a.in_(al, dx).unwrap();
    a.and(al, mask).unwrap();
    a.cmp(al, value).unwrap();
    a.jne(again).unwrap();
}

/// The guest with an empty disk, run up to its first instructions.
fn begun(name: &str) -> (TempFile, Machine, Collect) {
    let disk = TempFile::new(&format!("{name}.img"), &[0; 64 * SECTOR]);
    // The guest can see the kernel's name.
    static KERNEL: OnceLock<TempFile> = OnceLock::new();
    let kernel = KERNEL.get_or_init(|| TempFile::new("past", &kernel(guest)));
    let mut c = Config { memory: 16 << 20, kernel: Some(kernel.0.clone()), ..config() };
    c.hd[0] = Some(disk.0.clone());
    let mut m = Machine::new(c).expect("a machine");
    let mut io = Collect::default();
    let first = Kind::Code { at: common::BASE as u64 + 32, physical: false };
    m.debugger().add(first).unwrap();
    assert!(matches!(m.debug_run(&mut io, Goal::Continue).why, Why::Points(_)));
    m.debugger().remove_where(|_| true);
    (disk, m, io)
}

/// What became of it.
#[derive(PartialEq, Eq)]
struct End {
    count: u64,
    hash: u64,
    serial: Vec<u8>,
    disk: Vec<u8>,
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sectors: Vec<u8> = self.disk.chunks(SECTOR).map(|s| s[0]).collect();
        write!(f, "{} {:x} {:?} {:?}", self.count, self.hash, self.serial.escape_ascii().to_string(), sectors)
    }
}

fn end(disk: &TempFile, mut m: Machine, mut io: Collect) -> End {
    assert!(!m.in_past());
    assert_eq!(m.debug_move(&mut io, Motion::Continue).why, Why::Ended(Outcome::DebugExit(7)));
    let (count, hash) = (m.count(), m.state_hash());
    drop(m);
    End { count, hash, serial: io.serial.concat(), disk: std::fs::read(&disk.0).expect("the disk") }
}

/// A machine that never goes back.
fn straight() -> &'static End {
    static END: OnceLock<End> = OnceLock::new();
    END.get_or_init(|| {
        let (disk, m, io) = begun("straight");
        let end = end(&disk, m, io);
        let written: Vec<u8> = (0..ROUNDS as u8).map(|n| n + FIRST).collect();
        assert_eq!(end.serial, written);
        let sectors = written.iter().flat_map(|n| [*n; SECTOR]);
        assert!(end.disk[..written.len() * SECTOR].iter().copied().eq(sectors), "{end:?}");
        end
    })
}

/// Counts and times to stop at: around each character that is put out, and all through the writing of each sector.
fn places() -> &'static [(u64, u64)] {
    static PLACES: OnceLock<Vec<(u64, u64)>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let (_disk, mut m, mut io) = begun("places");
        for port in [0x3f8, 0x1f3] {
            m.debugger().add(Kind::Port(port, port)).unwrap();
        }
        let mut counts = Vec::new();
        for _ in 0..10 {
            // Past the instruction that put it out.
            assert!(matches!(m.debug_run(&mut io, Goal::Continue).why, Why::Points(_)));
            counts.extend(m.count() - 1..m.count() + 3);
            assert!(matches!(m.debug_run(&mut io, Goal::Continue).why, Why::Points(_)));
            counts.extend((m.count()..m.count() + 400).step_by(37));
        }
        let (_disk, mut m, mut io) = begun("times");
        let at = |n: u64| {
            m.debug_run(&mut io, Goal::Count(n));
            (m.count(), m.time_ns())
        };
        counts.into_iter().map(at).collect()
    })
}

/// Stops at all those places, by count or time, and each time goes by `way` into the past and to the present again.
fn wander(
    name: &str,
    by: impl Fn((u64, u64)) -> Motion,
    way: impl Fn(&mut Machine, &mut dyn HostIo, u64),
) -> End {
    let (disk, mut m, mut io) = begun(name);
    m.keep_history(64 << 20);
    for (n, place) in (0..).zip(places()) {
        assert_eq!(m.debug_move(&mut io, by(*place)).why, Why::Done, "{n}");
        let here = (m.count(), m.time_ns(), m.state_hash(), false);
        assert_eq!((here.0, here.1), *place);
        let mut silent = Collect::default();
        way(&mut m, &mut silent, n);
        assert_eq!((m.count(), m.time_ns(), m.state_hash(), m.in_past()), here, "{n}");
        assert!(silent.serial.concat().is_empty(), "{n}: what was put out before");
    }
    end(&disk, m, io)
}

fn count((count, _): (u64, u64)) -> Motion {
    Motion::Count(count)
}

fn time((_, time): (u64, u64)) -> Motion {
    Motion::Time(time)
}

#[test]
fn a_checkpoint_at_the_present_is_the_present() {
    let way = |m: &mut Machine, io: &mut dyn HostIo, n: u64| {
        m.checkpoint(&format!("x{n}")).unwrap();
        let here = m.count();
        m.debug_move(io, Motion::Count(here - 5_000_000.min(here / 2)));
        assert!(m.in_past());
        if n.is_multiple_of(2) {
            assert_eq!(m.debug_move(io, Motion::Count(here + 30_000_000)).why, Why::Present);
        } else {
            assert_eq!(m.debug_move(io, Motion::Time(u64::MAX)).why, Why::Present);
        }
    };
    assert_eq!(&wander("checkpoint", count, way), straight());
    assert_eq!(&wander("checkpoint-time", time, way), straight());
}

#[test]
fn as_many_steps_on_as_back_lead_to_the_present() {
    let way = |m: &mut Machine, io: &mut dyn HostIo, n: u64| {
        let (back, here) = (1 + n % 7, m.count());
        assert_eq!(m.debug_move(io, Motion::ReverseStep(0, back)).why, Why::Done);
        assert_eq!((m.count(), m.in_past()), (here - back, true));
        let on = if n.is_multiple_of(3) { Motion::Count(here) } else { Motion::Step(0, back) };
        assert_eq!(m.debug_move(io, on).why, Why::Done);
    };
    assert_eq!(&wander("steps", count, way), straight());
    assert_eq!(&wander("steps-time", time, way), straight());
}

#[test]
fn the_present_may_lie_on_either_side_of_the_slice_boundary() {
    // A moment of time is reached behind it, a count before it.
    let way = |m: &mut Machine, io: &mut dyn HostIo, n: u64| {
        assert_eq!(m.debug_move(io, Motion::ReverseStep(0, 1 + n % 3)).why, Why::Done);
        assert_eq!(m.debug_move(io, Motion::Continue).why, Why::Present);
    };
    assert_eq!(&wander("sides", time, way), straight());
}

#[test]
fn a_point_met_at_the_present_is_met_in_the_present() {
    let way = |m: &mut Machine, io: &mut dyn HostIo, _: u64| {
        let kind = Kind::Count(m.count());
        m.debug_move(io, Motion::ReverseStep(0, 3));
        let id = m.debugger().add(kind).unwrap();
        assert_eq!(m.debug_move(io, Motion::Continue).why, Why::Points(vec![id]));
        m.debugger().remove(id);
    };
    assert_eq!(&wander("points", count, way), straight());
}

#[test]
fn the_beginning_may_be_the_present() {
    let (disk, mut m, mut io) = begun("beginning");
    m.keep_history(64 << 20);
    for motion in [Motion::ReverseContinue, Motion::Count(3), Motion::ReverseStep(0, 1)] {
        assert_eq!(m.debug_move(&mut io, motion).why, Why::Beginning);
        assert!(!m.in_past(), "{motion:?}");
    }
    assert_eq!(&end(&disk, m, io), straight());
}

#[test]
fn what_was_changed_by_hand_stays_changed() {
    let (_disk, mut m, mut io) = begun("hand");
    m.keep_history(64 << 20);
    let backs = [
        Motion::ReverseStep(0, 1),
        Motion::ReverseStep(0, 9),
        Motion::ReverseContinue,
        Motion::ReverseOut(0),
    ];
    let mut here = Vec::new();
    for (n, back) in backs.into_iter().enumerate() {
        m.debug_move(&mut io, Motion::Count(m.count() + 100));
        // No register that the guest uses.
        assert!(m.set_register(0, "ebp", 77 + n as u64));
        here.push((m.count(), m.state_hash()));
        m.debug_move(&mut io, back);
        assert!(m.in_past() && m.cpu(0).gpr[5] != 77 + n as u64);
        // Through all the earlier changes.
        assert_eq!(m.debug_move(&mut io, Motion::Continue).why, Why::Present);
        assert_eq!((m.count(), m.state_hash()), here[n]);
        assert_eq!(m.cpu(0).gpr[5], 77 + n as u64);
    }
    for &(count, hash) in here.iter().rev().chain(&here) {
        m.debug_move(&mut io, Motion::Count(count));
        assert_eq!((m.count(), m.state_hash()), (count, hash));
    }
}

#[test]
fn many_changes_by_hand_are_all_met_again() {
    let (_disk, mut m, mut io) = begun("hands");
    m.keep_history(64 << 20);
    let mut counts = Vec::new();
    // More than there are snapshots.
    for n in 0..400 {
        m.debug_move(&mut io, Motion::Step(0, 20));
        assert!(m.set_register(0, "ebp", 77 + n));
        counts.push(m.count());
    }
    let here = (m.count(), m.state_hash());
    let first = m.checkpoints()[0].0.count;
    assert!(first < counts[300], "{first}");
    m.debug_move(&mut io, Motion::Count(first));
    while m.in_past() {
        let n = counts.partition_point(|c| *c <= m.count()) as u64;
        assert!(n > 0 && m.cpu(0).gpr[5] == 76 + n, "at {}", m.count());
        m.debug_move(&mut io, Motion::Step(0, 7));
    }
    assert_eq!((m.count(), m.state_hash()), here);
}

#[test]
fn looking_for_what_led_to_a_death_changes_nothing() {
    // By an instruction, after a character; by an interrupt, which doesn't count. An IDT without a gate.
    for by_interrupt in [false, true] {
        let c = Config { no_reboot: true, clock: ClockKind::Host, ..config() };
        let mut m = machine(&format!("death-{by_interrupt}"), c, |a| {
            a.push(0).unwrap();
            a.push(0).unwrap();
            a.lidt(fword_ptr(esp)).unwrap();
            a.mov(dx, 0x3f8).unwrap();
            a.mov(al, 1).unwrap();
            a.out(dx, al).unwrap();
            if by_interrupt {
                let mut here = a.create_label();
                a.sti().unwrap();
                a.set_label(&mut here).unwrap();
                a.jmp(here).unwrap();
            }
            a.ud2().unwrap();
        });
        m.keep_history(64 << 20);
        m.debugger().attached = true;
        let mut io = Collect::default();
        assert_eq!(m.debug_move(&mut io, Motion::Continue).why, Why::TripleFault);
        let here = (m.count(), m.state_hash(), false);
        m.find_trail(0);
        assert_eq!((m.count(), m.state_hash(), m.in_past()), here);
        assert!(matches!(m.debug_move(&mut io, Motion::Continue).why, Why::Ended(Outcome::TripleFault(_))));
        assert_eq!(io.serial.concat(), [1]);
    }
}
