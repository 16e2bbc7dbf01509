//! The debugger's core: break and watch points, conditions, stepping, looking at memory and registers, going back in time.
//! The monitor, gdb and programs that use the library all stand on it.
//!
//! It changes what is cached, not what is executed (DESIGN §6): [`lucid86_cpu::watch`] says how. With nothing set nothing
//! here is asked.

pub mod backtrace;
pub mod command;
pub mod disasm;
pub mod expr;
mod history;
mod lookout;
mod motion;
mod points;
pub mod post_mortem;
pub mod registers;
mod run;
pub mod symbols;
mod trail;
pub mod walk;

pub use history::DEFAULT_LIMIT;
pub use motion::Motion;
pub use points::{Kind, Point};
pub use run::{Goal, Stopped, Why};

use crate::Machine;
use expr::{Context, Expr};
use lucid86_cpu::memory::Place;
use lucid86_cpu::mmu::Space;
use lucid86_cpu::state::{Seg, cr0, flag};
pub use lucid86_cpu::watch::{By, Bytes, Event, Hit, Mode};
use lucid86_cpu::{Cpu, Memory};

/// Most points that can be set.
const MOST_POINTS: usize = 1 << 16;

/// What the debugger knows of one machine. Not part of its state.
#[derive(Default)]
pub struct Debugger {
    points: Vec<Point>,
    next_id: u32,
    /// Someone debugs: a triple fault stops instead of resetting.
    pub attached: bool,
    /// A processor that stopped, and its hits.
    stopped: Option<(usize, Vec<Hit>)>,
    /// A triple fault on this processor waits to be reported.
    pub(crate) triple: Option<usize>,
    /// The host asked for a pause.
    pub(crate) pause: bool,
    /// A run of the debugger's is going on.
    running: bool,
    /// Memory or registers were changed by hand: what lies before can't lead here by itself.
    poked: bool,
    history: Option<history::History>,
    /// Looks out for trouble.
    lookout: Option<lookout::Lookout>,
    /// What led to a place that a report was made of.
    trail: Option<trail::Trail>,
    /// Names of addresses.
    pub symbols: symbols::Symbols,
}

/// An expression's view of one processor.
pub struct Eyes<'a> {
    /// The processor.
    pub cpu: &'a Cpu,
    /// Memory.
    pub mem: &'a Memory,
    /// Its address space.
    pub space: Space,
    /// Names of addresses.
    pub symbols: &'a symbols::Symbols,
}

impl Context for Eyes<'_> {
    fn name(&self, name: &str) -> Option<u64> {
        registers::get(self.cpu, &name.to_ascii_lowercase()).or_else(|| self.symbols.address(name))
    }

    fn load(&self, at: u64, bytes: u8, physical: bool) -> Option<u64> {
        let mut b = [0; 8];
        let to = &mut b[..usize::from(bytes)];
        if physical {
            if !matches!(self.mem.read_place(at / 4096), Place::Frame(_)) {
                return None;
            }
            self.mem.read_physical(at, to);
        } else if walk::peek(self.mem, &self.space, at, to) < to.len() {
            return None;
        }
        Some(u64::from_le_bytes(b))
    }

    fn segment(&self, selector: u16, offset: u64) -> Option<u64> {
        let real = self.cpu.cr0 & cr0::PE == 0 || self.cpu.rflags & flag::VM != 0;
        if real {
            return Some((u64::from(selector) << 4).wrapping_add(offset));
        }
        if let Some(s) = self.cpu.seg.iter().find(|s| s.selector == selector) {
            return Some(s.base.wrapping_add(offset));
        }
        let (table, limit) = if selector & 4 == 0 {
            (self.cpu.gdtr.base, u32::from(self.cpu.gdtr.limit))
        } else {
            (self.cpu.ldtr.base, self.cpu.ldtr.limit)
        };
        let index = u64::from(selector & !7);
        if index + 7 > u64::from(limit) || selector & !3 == 0 {
            return None;
        }
        let d = self.load(table.wrapping_add(index), 8, false)?;
        let base = d >> 16 & 0xff_ffff | d >> 32 & 0xff00_0000;
        (d >> 47 & 1 != 0).then_some(base.wrapping_add(offset))
    }
}

/// The mode that a processor is in, in words.
pub fn mode_name(machine: &Machine, cpu: usize) -> &'static str {
    Mode::of(&machine.cpus[cpu]).name()
}

impl Machine {
    /// The debugger of this machine.
    pub fn debugger(&mut self) -> &mut Debugger {
        &mut self.debug
    }

    /// How many processors there are.
    pub fn processors(&self) -> usize {
        self.cpus.len()
    }

    /// The processor that runs next or ran last.
    pub fn current_cpu(&self) -> usize {
        self.progress.turn
    }

    /// An expression's view of a processor.
    pub fn eyes(&self, cpu: usize) -> Eyes<'_> {
        let c = &self.cpus[cpu];
        Eyes {
            cpu: c,
            mem: &self.mem,
            space: walk::space_of(c, &self.mem, None),
            symbols: &self.debug.symbols,
        }
    }

    /// The value of an expression on a processor.
    pub fn evaluate(&self, cpu: usize, text: &str) -> Result<u64, String> {
        Expr::parse(text)?.value(&self.eyes(cpu))
    }

    /// Reads linear memory without a trace; how many bytes could be had.
    pub fn peek(&self, cpu: usize, linear: u64, to: &mut [u8]) -> usize {
        walk::peek(&self.mem, &self.eyes(cpu).space, linear, to)
    }

    /// Something is about to be changed by hand. In the past that ends what was known of the future.
    fn hands_on(&mut self) {
        self.debug.poked = true;
        let _ = self.cut_future();
    }

    /// Writes linear memory, ROM included; whether all of it could be.
    pub fn poke(&mut self, cpu: usize, linear: u64, from: &[u8]) -> bool {
        self.hands_on();
        let space = self.eyes(cpu).space;
        let done = walk::poke(&mut self.mem, &space, linear, from);
        self.derived.settle_quietly(&mut self.mem);
        done
    }

    /// Reads physical memory; how many bytes could be had without touching a chip.
    pub fn peek_physical(&self, at: u64, to: &mut [u8]) -> usize {
        let mut done = 0;
        while done < to.len() {
            let phys = at.wrapping_add(done as u64);
            if !matches!(self.mem.read_place(phys / 4096), Place::Frame(_)) {
                break;
            }
            let n = (to.len() - done).min(4096 - (phys % 4096) as usize);
            self.mem.read_physical(phys, &mut to[done..done + n]);
            done += n;
        }
        done
    }

    /// Writes physical memory, ROM included; whether all of it could be.
    pub fn poke_physical(&mut self, at: u64, from: &[u8]) -> bool {
        self.hands_on();
        let done = walk::poke_physical(&mut self.mem, at, from);
        self.derived.settle_quietly(&mut self.mem);
        done
    }

    /// A register by name.
    pub fn register(&self, cpu: usize, name: &str) -> Option<u64> {
        registers::get(&self.cpus[cpu], name)
    }

    /// Sets a register by name; false if that can't be.
    pub fn set_register(&mut self, cpu: usize, name: &str, v: u64) -> bool {
        self.hands_on();
        let c = &mut self.cpus[cpu];
        let done = registers::set(c, name, v);
        // An address space changed by hand: what was read with it.
        if done && matches!(name, "cr0" | "cr3" | "cr4") {
            let s = walk::space_of(c, &self.mem, Some(c.cr3));
            if s.paging == lucid86_cpu::mmu::Paging::Pae {
                c.pdpte = s.pdpte;
            }
        }
        self.derived.tlb.void_all();
        done
    }

    /// Sets ST(i): significand, sign and exponent.
    pub fn set_st(&mut self, cpu: usize, i: usize, mant: u64, se: u16) {
        self.hands_on();
        let f = &mut self.cpus[cpu].fpu;
        let r = (usize::from(f.sw >> 11 & 7) + i) & 7;
        f.regs[r].mant = mant;
        f.regs[r].se = se;
        f.tag |= 1 << r;
    }

    /// Sets an XMM register.
    pub fn set_xmm(&mut self, cpu: usize, i: usize, v: [u64; 2]) {
        self.hands_on();
        self.cpus[cpu].vec[i & 15].0[..2].copy_from_slice(&v);
    }

    /// The linear address of a processor's next instruction.
    pub fn pc(&self, cpu: usize) -> u64 {
        registers::pc(&self.cpus[cpu])
    }

    /// The base of a processor's segment.
    pub fn segment_base(&self, cpu: usize, seg: Seg) -> u64 {
        self.cpus[cpu].seg[seg as usize].base
    }
}
