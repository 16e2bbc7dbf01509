//! A processor with memory and a board of nothing, for tests of the system side.
#![allow(dead_code)]

pub mod code;

use lucid86_cpu::board::Moment;
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::exec::Stop;
use lucid86_cpu::memory::Place;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{Seg, Segment, attr, cr0, efer};
use lucid86_cpu::{Board, Clock, Cpu, Exec, Memory};

/// The chip whose page follows RAM.
pub const CHIP: u16 = 7;

/// A byte written here raises the interrupt line, with that vector.
pub const RAISE: u16 = 0xf0;

/// Ports float, chips read what they were told, nothing interrupts by itself.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Bare {
    pub chip_log: Vec<(u16, u64, u8, u64)>,
    pub chip_value: u64,
    /// What each read of a chip adds to that.
    pub chip_step: u64,
    /// When chips were reached.
    pub chip_times: Vec<u64>,
    pub ports: Vec<(u16, u8, u32)>,
    /// An interrupt that waits to be taken.
    pub interrupt: Option<u8>,
}

impl Board for Bare {
    fn port_in(&mut self, _: &mut Memory, _: Moment, _: u16, _: u8) -> u32 {
        !0
    }
    fn port_out(&mut self, _: &mut Memory, _: Moment, port: u16, width: u8, value: u32) {
        if port == RAISE {
            self.interrupt = Some(value as u8);
        }
        self.ports.push((port, width, value));
    }
    fn chip_read(&mut self, _: &mut Memory, at: Moment, _: u16, _: u64, _: u8) -> u64 {
        self.chip_times.push(at.now_ns);
        self.chip_value = self.chip_value.wrapping_add(self.chip_step);
        self.chip_value
    }
    fn chip_write(&mut self, _: &mut Memory, at: Moment, region: u16, addr: u64, width: u8, value: u64) {
        self.chip_times.push(at.now_ns);
        self.chip_log.push((region, addr, width, value));
    }
    fn acknowledge(&mut self, _: &mut Memory, _: Moment) -> u8 {
        self.interrupt.take().unwrap_or(0)
    }
    fn interrupt_line(&self, _: usize) -> bool {
        self.interrupt.is_some()
    }
    fn task_priority(&self, _: usize) -> u8 {
        0
    }
    fn set_task_priority(&mut self, _: usize, _: u8) {}
    fn apic_msr_read(&mut self, _: Moment, _: u32) -> Option<u64> {
        None
    }
    fn apic_msr_write(&mut self, _: &mut Memory, _: Moment, _: u32, _: u64) -> Option<()> {
        None
    }
    fn slice_must_end(&self) -> bool {
        false
    }
}

pub struct Rig {
    pub cpu: Cpu,
    pub mem: Memory,
    pub derived: Derived,
    pub board: Bare,
    pub clock: Clock,
    frames: usize,
}

impl Rig {
    /// `frames` pages of RAM from address 0.
    pub fn new(model: &str, frames: usize) -> Rig {
        let model = CpuModel::parse(model).expect("model");
        let mut mem = Memory::new(frames, frames + 1024).expect("memory");
        mem.map(0, frames as u64, Place::Frame(0), Place::Frame(0));
        mem.map(frames as u64, 1, Place::Chip(CHIP), Place::Chip(CHIP));
        let clock = Clock { n0: 0, t0_ns: 0, rate: Clock::ONE_NS };
        let (derived, board) = (Derived::default(), Bare::default());
        Rig { cpu: Cpu::new(0, model), mem, derived, board, clock, frames }
    }

    pub fn exec(&mut self) -> Exec<'_> {
        let mut x = Exec {
            cpu: &mut self.cpu,
            mem: &mut self.mem,
            derived: &mut self.derived,
            board: &mut self.board,
            clock: self.clock,
            count: 0,
            limit: u64::MAX,
        };
        x.begin();
        x
    }

    /// Runs up to `n` instructions on the interpreter, and on a copy by the translator, which translates everything it can
    /// at once: both must end alike.
    pub fn run(&mut self, n: u64) -> (Stop, u64) {
        let frames = self.frames;
        let mut twin = Rig::new("x86-64-v2", frames);
        let mut bytes = vec![0; frames * 4096];
        self.mem.read_physical(0, &mut bytes);
        twin.mem.write_physical(0, &bytes);
        twin.cpu = self.cpu.clone();
        twin.board = self.board.clone();
        twin.clock = self.clock;
        twin.derived = Derived::new(Engine::Translator).eager();
        self.derived.engine = Engine::Interpreter;
        let ended = self.go(n);
        assert_eq!(twin.go(n), ended, "how the engines end");
        assert_eq!(twin.cpu, self.cpu, "translated and interpreted");
        assert_eq!(twin.board, self.board);
        let mut other = vec![0; bytes.len()];
        twin.mem.read_physical(0, &mut other);
        self.mem.read_physical(0, &mut bytes);
        let at = bytes.iter().zip(&other).position(|(a, b)| a != b);
        assert_eq!(at, None, "memory of the two engines");
        ended
    }

    fn go(&mut self, n: u64) -> (Stop, u64) {
        let mut x = self.exec();
        x.limit = n;
        let stop = lucid86_cpu::interp::run(&mut x);
        (stop, x.count)
    }

    pub fn put64(&mut self, at: u64, v: u64) {
        self.mem.write_physical(at, &v.to_le_bytes());
    }
    pub fn put32(&mut self, at: u64, v: u32) {
        self.mem.write_physical(at, &v.to_le_bytes());
    }
    pub fn put16(&mut self, at: u64, v: u16) {
        self.mem.write_physical(at, &v.to_le_bytes());
    }
    pub fn get64(&self, at: u64) -> u64 {
        let mut b = [0; 8];
        self.mem.read_physical(at, &mut b);
        u64::from_le_bytes(b)
    }
    pub fn get32(&self, at: u64) -> u32 {
        self.get64(at) as u32
    }
    pub fn get16(&self, at: u64) -> u16 {
        self.get64(at) as u16
    }

    /// Flat 32-bit protected mode at level `cpl`, without paging.
    pub fn protected(&mut self, cpl: u8) {
        self.cpu.cr0 |= cr0::PE;
        self.cpu.cpl = cpl;
        let dpl = u16::from(cpl) << 5;
        let base = attr::P | attr::S | attr::RW | attr::ACCESSED | attr::G | attr::DB | dpl;
        for s in &mut self.cpu.seg {
            *s = Segment { base: 0, limit: !0, attr: base, selector: 0x10 | u16::from(cpl) };
        }
        let cs = &mut self.cpu.seg[Seg::Cs as usize];
        cs.attr |= attr::CODE;
        cs.selector = 8 | u16::from(cpl);
    }

    /// 64-bit mode at level `cpl`, flags for paging set; the caller makes tables at `root`.
    pub fn long(&mut self, cpl: u8, root: u64) {
        self.protected(cpl);
        self.cpu.cr0 |= cr0::PG;
        self.cpu.cr4 |= lucid86_cpu::state::cr4::PAE;
        self.cpu.msr.efer |= efer::LME | efer::LMA;
        self.cpu.cr3 = root;
        let cs = &mut self.cpu.seg[Seg::Cs as usize];
        cs.attr = cs.attr & !attr::DB | attr::L;
    }
}
