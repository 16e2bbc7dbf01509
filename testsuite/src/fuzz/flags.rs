//! Random programs about status flags: what makes them, what changes registers behind that, what asks for them, accesses
//! that fault in the end, calls, returns and jumps through registers, in 64- and 32-bit code, in a page or across the end of one. The interpreter and another
//! engine must end with the same registers, flags, stack and memory. A translator leaves flags unmade for as long as it can.
//!
//! Encodings: SDM volume 2, appendix A.

use super::{Finding, Round};
use crate::rig::Rig;
use crate::rng::Rng;
use lucid86_cpu::Cpu;
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{Segment, TableReg, attr, cr0, cr4, efer, flag, gpr};
use std::fmt::Write;

const CODE: u64 = 0x1_0000;
const DATA: u64 = 0x2_0000;
/// A page a turn is looked at here; there are so many of them.
const WINDOW: u64 = 0x20_0000;
const PAGES: u64 = 24;
const FRAMES: u64 = 0x4_0000;
const PML4: u64 = 0x10_0000;
const PDPT: u64 = 0x10_1000;
const PD: u64 = 0x10_2000;
const PT: u64 = 0x10_3000;
const WINDOW_PT: u64 = 0x10_4000;
const HANDLERS: u64 = 0x7000;
const IDT: u64 = 0x6000;
const GDT: u64 = 0x5000;
const TSS: u64 = 0x5800;
const STACK: u64 = 0x9000;
/// Bytes at [`DATA`].
const DATA_LEN: u64 = 0x1100;
/// Bytes of each page of the window that a program can reach.
const SEEN: u64 = 0x100;
/// Bytes of the stack that are compared, to both sides.
const NEAR: u64 = 0x100;

/// Registers that programs work on: not the stack's, nor the pointers RSI and RDI. The first few exist in 32-bit code.
const WORK: [u8; 13] = [0, 1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15];
const WORK_32: u64 = 5;

/// The fuzzer: `engine` beside the interpreter.
pub fn fuzzer(engine: Engine) -> Result<Round, String> {
    let mut machines = [Machines::new(true, engine)?, Machines::new(false, engine)?];
    Ok(Box::new(move |r: &mut Rng| {
        let wide = !r.one_in(3);
        machines[usize::from(!wide)].round(r)
    }))
}

/// The same processor on the engines.
struct Machines {
    wide: bool,
    /// The interpreter, the engine, and that where nothing is left to the host's undefined flags.
    rigs: Vec<Rig>,
    before: Cpu,
}

impl Machines {
    fn new(wide: bool, engine: Engine) -> Result<Machines, String> {
        let mut rigs = vec![rig(wide, Engine::Interpreter)?, rig(wide, engine)?];
        if engine == Engine::Translator {
            let mut own = rig(wide, engine)?;
            own.derived = Derived::new(engine).eager().own_flags();
            rigs.push(own);
        }
        let before = rigs[0].cpu.clone();
        Ok(Machines { wide, rigs, before })
    }

    fn round(&mut self, r: &mut Rng) -> Finding {
        let mut program = Program::random(self.wide, r);
        let mut before = self.before.clone();
        let mask = if self.wide { u64::MAX } else { 0xffff_ffff };
        for n in WORK {
            before.gpr[usize::from(n)] = if r.one_in(3) { r.below(256) } else { r.integer() } & mask;
        }
        // Operands in the middle of a page or, where translated code asks for help, across its end.
        let middle = |r: &mut Rng| if r.one_in(3) { 0xfc0 } else { 0x800 };
        before.gpr[gpr::RSI] = DATA + middle(r);
        before.gpr[gpr::RDI] = WINDOW + middle(r);
        before.rflags |= r.bits() & flag::STATUS;
        let data: Vec<u8> = (0..DATA_LEN).map(|_| r.bits() as u8).collect();
        let mut text = self.differs(&program, &before, &data)?;
        let mut n = 0;
        while n < program.lines.len() {
            let fewer = program.without(n);
            match self.differs(&fewer, &before, &data) {
                Some(t) => (program, text) = (fewer, t),
                None => n += 1,
            }
        }
        Some(format!("{}-bit code{}\n{text}", if self.wide { 64 } else { 32 }, program.listing(self.wide)))
    }

    /// Runs a program on both engines; what differs.
    fn differs(&mut self, program: &Program, before: &Cpu, data: &[u8]) -> Finding {
        let code = program.code();
        let mut ends = Vec::new();
        for rig in &mut self.rigs {
            rig.poke(program.at, &code);
            rig.poke(DATA, data);
            for at in seen_frames(before) {
                rig.poke(at, &[(at >> 12) as u8; SEEN as usize]);
            }
            rig.poke(STACK - NEAR, &[0; 2 * NEAR as usize]);
            rig.cpu = before.clone();
            rig.cpu.rip = program.at;
            let stop = rig.run(20_000);
            let mut memory = Vec::new();
            let frames = seen_frames(before).map(|at| (at, SEEN));
            for (at, len) in [(DATA, DATA_LEN), (STACK - NEAR, 2 * NEAR)].into_iter().chain(frames) {
                let mut seen = vec![0; len as usize];
                rig.mem.read_physical(at, &mut seen);
                memory.extend(seen);
            }
            let c = &rig.cpu;
            ends.push((stop, c.gpr, c.rflags, c.rip, c.cr2, memory));
        }
        let (a, n) = (&ends[0], (1..ends.len()).find(|&n| ends[n] != ends[0])?);
        let b = &ends[n];
        let mut text =
            if n == 2 { "    where the host's undefined flags aren't used\n" } else { "" }.to_owned();
        for e in [a, b] {
            let _ = writeln!(text, "    {:?} at {:x}, flags {:x}, cr2 {:x}, {:x?}", e.0, e.3, e.2, e.4, e.1);
        }
        if let Some(n) = a.5.iter().zip(&b.5).position(|(x, y)| x != y) {
            let _ =
                writeln!(text, "    memory, byte {n:x}h of what is compared: {:x} and {:x}", a.5[n], b.5[n]);
        }
        Some(text)
    }
}

/// Where these are.
fn seen_frames(before: &Cpu) -> impl Iterator<Item = u64> {
    let first = FRAMES + (before.gpr[gpr::RDI] - WINDOW) - 0x20;
    (0..PAGES).map(move |n| first + n * 0x1000)
}

/// What a line does at its end.
#[derive(Clone, Copy, PartialEq)]
enum Leads {
    On,
    /// Its last byte is a jump's displacement: skips so many lines.
    Skip(usize),
    /// Its last four bytes are those of a call of the subroutine.
    Call,
    /// Four bytes from this one on are the address of the next line.
    Address(usize),
}

#[derive(Clone)]
struct Line {
    bytes: Vec<u8>,
    leads: Leads,
}

/// A loop of lines; the last ones are a subroutine.
struct Program {
    /// Where it lies: in a page, or across the end of one.
    at: u64,
    lines: Vec<Line>,
    /// Where the subroutine begins.
    sub: usize,
    turn: Vec<u8>,
}

impl Program {
    fn random(wide: bool, r: &mut Rng) -> Program {
        let most = if wide { WORK.len() as u64 } else { WORK_32 };
        let few = (0..2 + r.below(3)).map(|_| WORK[r.below(most) as usize]).collect();
        let mut m = Maker { r, wide, few };
        let (main, sub) = (2 + m.r.below(14), 1 + m.r.below(4));
        let lines = (0..main + sub).map(|n| m.line(n < main)).collect();
        // LEA RDI, [RDI + 1000h]
        let mut turn = if wide { vec![0x48] } else { vec![] };
        turn.extend([0x8d, 0xbf, 0, 0x10, 0, 0]);
        let at = if m.r.one_in(2) { CODE } else { CODE + 0xfff - m.r.below(60) };
        Program { at, lines, sub: main as usize, turn }
    }

    fn without(&self, n: usize) -> Program {
        let mut lines = self.lines.clone();
        lines.remove(n);
        Program { at: self.at, lines, sub: self.sub - usize::from(n < self.sub), turn: self.turn.clone() }
    }

    fn code(&self) -> Vec<u8> {
        let mut at = 0;
        let mut starts: Vec<usize> = Vec::new();
        for (n, l) in self.lines.iter().enumerate() {
            if n == self.sub {
                at += self.turn.len() + 5;
            }
            starts.push(at);
            at += l.bytes.len();
        }
        let end = at;
        let turn = self.turn.len() + 5;
        let sub = starts.get(self.sub).copied();
        // Behind the last line of the loop it goes round, behind that of the subroutine it returns.
        let start = |n: usize, from: usize| match (from < self.sub, sub) {
            (true, _) if n < self.sub => starts[n],
            (true, Some(sub)) => sub - turn,
            (false, _) if n < self.lines.len() => starts[n],
            _ => end,
        };
        let mut code = Vec::new();
        let go_round = |code: &mut Vec<u8>| {
            code.extend(&self.turn);
            code.push(0xe9);
            code.extend((-(code.len() as i32 + 4)).to_le_bytes());
        };
        for (n, l) in self.lines.iter().enumerate() {
            if n == self.sub {
                go_round(&mut code);
            }
            code.extend(&l.bytes);
            let here = code.len();
            match l.leads {
                Leads::On => {}
                Leads::Skip(k) => code[here - 1] = (start(n + 1 + k, n) - here) as u8,
                Leads::Call => {
                    let to = sub.unwrap_or(end + turn);
                    code[here - 4..here].copy_from_slice(&(to as i32 - here as i32).to_le_bytes());
                }
                Leads::Address(k) => {
                    let at = here - l.bytes.len() + k;
                    code[at..at + 4].copy_from_slice(&(self.at as u32 + here as u32).to_le_bytes());
                }
            }
        }
        if self.sub >= self.lines.len() {
            go_round(&mut code);
        }
        code.push(0xc3);
        code
    }

    fn listing(&self, wide: bool) -> String {
        let code = self.code();
        let mut d = iced_x86::Decoder::with_ip(if wide { 64 } else { 32 }, &code, self.at, 0);
        let mut s = String::new();
        for i in d.iter() {
            let _ = write!(s, "\n    {:x} {i}", i.ip());
        }
        s
    }
}

/// The second operand of an instruction.
#[derive(Clone, Copy)]
enum Rm {
    Reg(u8),
    /// Through RSI or RDI, with a displacement.
    Mem(u8, i8),
}

/// An instruction with its constant.
fn then(mut ins: Vec<u8>, imm: &[u8]) -> Vec<u8> {
    ins.extend(imm);
    ins
}

struct Maker<'a> {
    r: &'a mut Rng,
    wide: bool,
    /// A few registers, so that they meet.
    few: Vec<u8>,
}

impl Maker<'_> {
    fn reg(&mut self) -> u8 {
        let n = self.r.below(self.few.len() as u64) as usize;
        self.few[n]
    }

    fn width(&mut self) -> u8 {
        let widths: &[u8] = if self.wide { &[1, 2, 4, 4, 8, 8] } else { &[1, 2, 4, 4, 4] };
        self.r.pick(widths)
    }

    fn operand(&mut self) -> Rm {
        if self.r.one_in(3) {
            let base = if self.r.one_in(2) { 7 } else { 6 };
            Rm::Mem(base, self.r.below(128) as i8)
        } else {
            Rm::Reg(self.reg())
        }
    }

    /// An instruction: `opcode` for bytes, one more for other widths unless `fixed`.
    fn ins(&self, map: &[u8], opcode: u8, fixed: bool, w: u8, reg: u8, rm: Rm) -> Vec<u8> {
        let mut b = Vec::new();
        if w == 2 {
            b.push(0x66);
        }
        let (m, base, disp) = match rm {
            Rm::Reg(r) => (0xc0, r, None),
            Rm::Mem(r, d) => (0x40, r, Some(d)),
        };
        // Without REX the byte registers 4 to 7 are AH to BH, with it others that programs leave alone.
        let rex = 0x40 | u8::from(w == 8) << 3 | (reg >> 3) << 2 | base >> 3;
        let byte_5 = w == 1 && (reg == 5 || matches!(rm, Rm::Reg(5)));
        if self.wide && (rex != 0x40 || byte_5) {
            b.push(rex);
        }
        b.extend(map);
        b.push(if fixed || w == 1 { opcode } else { opcode | 1 });
        b.push(m | (reg & 7) << 3 | base & 7);
        b.extend(disp.map(|d| d as u8));
        b
    }

    fn constant(&mut self, w: u8) -> Vec<u8> {
        let c = if self.r.one_in(2) { self.r.below(16) } else { self.r.integer() };
        c.to_le_bytes()[..usize::from(w.min(4))].to_vec()
    }

    fn line(&mut self, main: bool) -> Line {
        let bytes = match self.r.below(14) {
            0..=5 => self.producer(),
            6..=8 => self.changer(),
            9 => self.reader(),
            10..=11 => {
                let (w, reg, disp) = (self.width(), self.reg(), self.r.below(128) as i8);
                let opcode = self.r.pick(&[0x88, 0x8a, 0x8a, 0x00, 0x2a, 0x38]);
                self.ins(&[], opcode, false, w, reg, Rm::Mem(7, disp))
            }
            _ => return self.flow(main),
        };
        Line { bytes, leads: Leads::On }
    }

    fn producer(&mut self) -> Vec<u8> {
        let (w, reg) = (self.width(), self.reg());
        let rm = self.operand();
        match self.r.below(10) {
            0..=2 => {
                let op = (self.r.below(8) as u8) << 3 | self.r.pick(&[0, 2]);
                self.ins(&[], op, false, w, reg, rm)
            }
            3 => {
                let (op, imm) = (self.r.below(8) as u8, self.constant(w));
                then(self.ins(&[], 0x80, false, w, op, rm), &imm)
            }
            4 => {
                let (op, imm) = (self.r.below(8) as u8, self.r.bits() as u8);
                let w = w.max(2);
                then(self.ins(&[], 0x83, true, w, op, rm), &[imm])
            }
            5 => self.ins(&[], 0x84, false, w, reg, rm),
            6 => {
                let (n, by) = (self.r.pick(&[0, 1, 2, 3, 4, 5, 7]), self.r.below(33) as u8);
                then(self.ins(&[], 0xc0, false, w, n, rm), &[by])
            }
            7 => {
                let n = self.r.pick(&[0, 1, 2, 3, 4, 5, 7]);
                let opcode = self.r.pick(&[0xd0, 0xd2]);
                self.ins(&[], opcode, false, w, n, rm)
            }
            8 => {
                let n = self.r.pick(&[2, 3, 3, 4, 5]);
                self.ins(&[], 0xf6, false, w, n, rm)
            }
            _ => match self.r.below(6) {
                // CMPXCHG, XADD.
                4 => self.ins(&[0x0f], 0xb0, false, w, reg, rm),
                5 => self.ins(&[0x0f], 0xc0, false, w, reg, rm),
                0 => self.ins(&[0x0f], 0xaf, true, w.max(2), reg, rm),
                1 => {
                    let (by, opcode) = (self.r.below(32) as u8, self.r.pick(&[0xa4, 0xac]));
                    then(self.ins(&[0x0f], opcode, true, w.max(2), reg, rm), &[by])
                }
                2 => {
                    let (n, bit) = (4 + self.r.below(4) as u8, self.r.bits() as u8);
                    then(self.ins(&[0x0f], 0xba, true, w.max(2), n, rm), &[bit])
                }
                _ => {
                    let n = self.r.below(2) as u8;
                    self.ins(&[], 0xfe, false, w, n, rm)
                }
            },
        }
    }

    fn changer(&mut self) -> Vec<u8> {
        let (w, reg) = (self.width(), self.reg());
        let rm = self.operand();
        match self.r.below(10) {
            0..=2 => {
                let opcode = self.r.pick(&[0x88, 0x8a]);
                self.ins(&[], opcode, false, w, reg, rm)
            }
            3 => {
                let imm = self.constant(w);
                then(self.ins(&[], 0xc6, false, w, 0, rm), &imm)
            }
            4 => self.ins(&[], 0x8d, true, if self.wide { 8 } else { 4 }, reg, Rm::Mem(6, 5)),
            5 => self.ins(&[], 0x86, false, w, reg, rm),
            6 => {
                // PUSH, POP.
                let to = self.reg();
                let mut b = Vec::new();
                for (opcode, r) in [(0x50, reg), (0x58, to)] {
                    b.extend((r >= 8).then_some(0x41));
                    b.push(opcode | r & 7);
                }
                b
            }
            7 => {
                let cc = self.r.below(16) as u8;
                self.ins(&[0x0f], 0x40 | cc, true, w.max(2), reg, rm)
            }
            8 => {
                let opcode = self.r.pick(&[0xb6, 0xbe]);
                self.ins(&[0x0f], opcode, true, w.max(4), reg, rm)
            }
            _ => {
                let cc = self.r.below(16) as u8;
                self.ins(&[0x0f], 0x90 | cc, true, 1, 0, rm)
            }
        }
    }

    fn reader(&mut self) -> Vec<u8> {
        let reg = self.reg();
        match self.r.below(4) {
            // LAHF.
            0 => vec![0x9f],
            // PUSHF, POP.
            1 => {
                let mut b = vec![0x9c];
                b.extend((reg >= 8).then_some(0x41));
                b.push(0x58 | reg & 7);
                b
            }
            2 => {
                let cc = self.r.below(16) as u8;
                let rm = self.operand();
                self.ins(&[0x0f], 0x90 | cc, true, 1, 0, rm)
            }
            _ => {
                let (w, rm, op) = (self.width(), self.operand(), self.r.pick(&[0x10, 0x18, 0x12, 0x1a]));
                self.ins(&[], op, false, w, reg, rm)
            }
        }
    }

    fn flow(&mut self, main: bool) -> Line {
        let skips = Leads::Skip(self.r.below(3) as usize);
        match self.r.below(6) {
            0 if main => Line { bytes: vec![0xe8, 0, 0, 0, 0], leads: Leads::Call },
            1 => Line { bytes: vec![0xeb, 0], leads: skips },
            2 => {
                // MOV reg, address of the next line; JMP reg.
                let reg = self.reg();
                let mut bytes = if reg >= 8 { vec![0x41] } else { vec![] };
                bytes.push(0xb8 | reg & 7);
                let at = bytes.len();
                bytes.extend([0; 4]);
                bytes.extend((reg >= 8).then_some(0x41));
                bytes.extend([0xff, 0xe0 | reg & 7]);
                Line { bytes, leads: Leads::Address(at) }
            }
            _ => Line { bytes: vec![0x70 | self.r.below(16) as u8, 0], leads: skips },
        }
    }
}

/// A processor in ring 0 over small tables, in 64-bit mode or in 32-bit code with PAE.
fn rig(wide: bool, engine: Engine) -> Result<Rig, String> {
    let mut r = Rig::eager(CpuModel::parse("x86-64-v2")?, 4 << 20, engine);
    let mut put = |at: u64, v: u64| r.poke(at, &v.to_le_bytes());
    put(PML4, PDPT | 3);
    put(PDPT, PD | if wide { 3 } else { 1 });
    put(PD, PT | 3);
    put(PD + 8, WINDOW_PT | 3);
    for n in 0..512 {
        put(PT + 8 * n, n << 12 | 3);
    }
    for n in 0..PAGES {
        put(WINDOW_PT + 8 * n, (FRAMES + (n << 12)) | 3);
    }
    for v in 0..32 {
        let h = HANDLERS + 16 * v;
        put(IDT + if wide { 16 } else { 8 } * v, h & 0xffff | 8 << 16 | 0x8e00 << 32);
        put(h, 0xf4);
    }
    put(GDT + 8, if wide { 0x00af_9b00_0000_ffff } else { 0x00cf_9b00_0000_ffff });
    put(GDT + 0x10, 0x00cf_9300_0000_ffff);
    put(TSS + 4, STACK);
    let c = &mut r.cpu;
    c.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::PG;
    c.cr4 = cr4::PAE | cr4::OSFXSR;
    c.cr3 = if wide { PML4 } else { PDPT };
    if wide {
        c.msr.efer = efer::LME | efer::LMA;
    } else {
        c.pdpte[0] = PD | 1;
    }
    let data = Segment { limit: !0, attr: 0x93 | attr::G | attr::DB, selector: 0x10, ..Segment::default() };
    c.seg = [data; 6];
    let size = if wide { attr::L } else { attr::DB };
    c.seg[1] = Segment { limit: !0, attr: 0x9b | attr::G | size, selector: 8, ..Segment::default() };
    c.gdtr = TableReg { base: GDT, limit: 0x3f };
    c.idtr = TableReg { base: IDT, limit: 0x1ff };
    c.tr = Segment { base: TSS, limit: 0x67, attr: 0x8b, selector: 0x20 };
    c.gpr[gpr::RSP] = STACK;
    Ok(r)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs do what they are for: nearly all end in a fault in the window, some in 32-bit code.
    #[test]
    fn programs_fault_in_the_end() {
        for wide in [true, false] {
            let mut m = Machines::new(wide, Engine::Interpreter).expect("a rig");
            let mut faults = 0;
            for seed in 0..100 {
                let r = &mut Rng::new(seed);
                assert_eq!(m.round(r), None);
                let c = &m.rigs[1].cpu;
                faults += u32::from(c.rip == HANDLERS + 16 * 14 + 1 && c.cr2 >= WINDOW + PAGES * 0x1000);
            }
            assert!(faults > 60, "{faults} of 100 programs");
        }
    }
}
