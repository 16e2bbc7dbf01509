//! A processor with memory and an empty board: what instruction tests run on.

use lucid86_cpu::board::Moment;
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::exec::{Clock, Exec, Stop};
use lucid86_cpu::memory::{Memory, PAGE, Place};
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::{Board, Cpu};

/// One port access, as the tests compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortAccess {
    #[allow(missing_docs)]
    pub write: bool,
    #[allow(missing_docs)]
    pub port: u16,
    #[allow(missing_docs)]
    pub width: u8,
    /// Value written; reads float high.
    pub value: u32,
}

/// A board with nothing on it but a notepad.
#[derive(Default)]
pub struct EmptyBoard {
    /// Port accesses in order.
    pub ports: Vec<PortAccess>,
}

impl Board for EmptyBoard {
    fn port_in(&mut self, _: &mut Memory, _: Moment, port: u16, width: u8) -> u32 {
        let value = u32::MAX >> (32 - 8 * u32::from(width));
        self.ports.push(PortAccess { write: false, port, width, value });
        value
    }
    fn port_out(&mut self, _: &mut Memory, _: Moment, port: u16, width: u8, value: u32) {
        self.ports.push(PortAccess { write: true, port, width, value });
    }
    fn chip_read(&mut self, _: &mut Memory, _: Moment, _: u16, _: u64, _: u8) -> u64 {
        u64::MAX
    }
    fn chip_write(&mut self, _: &mut Memory, _: Moment, _: u16, _: u64, _: u8, _: u64) {}
    fn acknowledge(&mut self, _: &mut Memory, _: Moment) -> u8 {
        0xff
    }
    fn interrupt_line(&self, _: usize) -> bool {
        false
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

/// The processor, its memory (RAM from address 0 on) and where it is in time.
pub struct Rig {
    #[allow(missing_docs)]
    pub cpu: Cpu,
    #[allow(missing_docs)]
    pub mem: Memory,
    #[allow(missing_docs)]
    pub board: EmptyBoard,
    #[allow(missing_docs)]
    pub derived: Derived,
    /// Instructions so far.
    pub count: u64,
}

impl Rig {
    /// A rig whose translator, if asked for by name, translates everything before its first run.
    pub fn eager(model: CpuModel, bytes: u64, engine: Engine) -> Rig {
        let mut rig = Rig::new(model, bytes, engine);
        if engine == Engine::Translator {
            rig.derived = Derived::new(engine).eager();
        }
        rig
    }

    /// A rig with `bytes` of RAM.
    pub fn new(model: CpuModel, bytes: u64, engine: Engine) -> Rig {
        let pages = bytes.div_ceil(PAGE);
        let mut mem =
            Memory::new(pages as usize, pages as usize).expect("the host has room for a test's memory");
        mem.map(0, pages, Place::Frame(0), Place::Frame(0));
        Rig {
            cpu: Cpu::new(0, model),
            mem,
            board: EmptyBoard::default(),
            derived: Derived::new(engine),
            count: 0,
        }
    }

    /// Runs until `n` more have been counted or something else ends it.
    pub fn run(&mut self, n: u64) -> Stop {
        let mut exec = Exec {
            cpu: &mut self.cpu,
            mem: &mut self.mem,
            derived: &mut self.derived,
            board: &mut self.board,
            clock: Clock { n0: 0, t0_ns: 0, rate: Clock::ONE_NS },
            count: self.count,
            limit: self.count + n,
        };
        let stop = lucid86_cpu::interp::run(&mut exec);
        self.count = exec.count;
        stop
    }

    /// Stores bytes as a loader does.
    pub fn poke(&mut self, addr: u64, bytes: &[u8]) {
        self.mem.write_physical(addr, bytes);
    }

    /// One byte of physical memory.
    pub fn peek(&self, addr: u64) -> u8 {
        let mut b = [0];
        self.mem.read_physical(addr, &mut b);
        b[0]
    }

    /// A little-endian word of physical memory.
    pub fn peek64(&self, addr: u64) -> u64 {
        let mut b = [0; 8];
        self.mem.read_physical(addr, &mut b);
        u64::from_le_bytes(b)
    }
}
