//! A processor in 64-bit mode, ring 0, over small tables, for programs that the suite assembles itself.

use iced_x86::IcedError;
use iced_x86::code_asm::CodeAssembler;
use lucid86_cpu::derived::Engine;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{Segment, TableReg, attr, cr0, cr4, efer, gpr};
use testsuite::rig::Rig;

/// Tables: PML4, PDPT, PD, PT of the first 2 MiB (identity), PT of the 2 MiB at [`WINDOW`].
pub const PML4: u64 = 0x10_0000;
#[allow(dead_code)]
pub const PD: u64 = 0x10_2000;
#[allow(dead_code)]
pub const PT: u64 = 0x10_4000;
/// Nothing is mapped here until a program or its test does.
#[allow(dead_code)]
pub const WINDOW: u64 = 0x20_0000;
/// Slot of the PML4 that maps the tables themselves.
pub const SELF: u64 = 510;
/// Where code and handlers lie.
pub const CODE: u64 = 0x1000;
const IDT: u64 = 0x6000;
const GDT: u64 = 0x5000;
const TSS: u64 = 0x5800;
/// Handler of vector v: HLT at 7000h + 16 v.
pub const HANDLERS: u64 = 0x7000;
const STACK: u64 = 0x9000;

/// The linear address of the page-table entry of `linear`, through the self map.
#[allow(dead_code)]
pub fn entry_of(linear: u64) -> u64 {
    0xffff_0000_0000_0000 | SELF << 39 | (linear >> 9 & 0x7f_ffff_fff8)
}

/// A machine with a program at [`CODE`].
pub fn machine(engine: Engine, f: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Rig {
    let mut a = CodeAssembler::new(64).expect("assembler");
    f(&mut a).expect("program");
    let code = a.assemble(CODE).expect("assembled");
    let mut r = Rig::eager(CpuModel::parse("x86-64-v2").expect("model"), 4 << 20, engine);
    let mut put = |at: u64, v: u64| r.poke(at, &v.to_le_bytes());
    put(PML4, 0x10_1003);
    put(PML4 + 8 * SELF, PML4 | 3);
    put(PML4 + 0x1000, PD | 3);
    put(PD, 0x10_3003);
    put(PD + 8, PT | 3);
    for n in 0..512 {
        put(0x10_3000 + 8 * n, n << 12 | 7);
    }
    for v in 0..32u64 {
        let h = HANDLERS + 16 * v;
        put(IDT + 16 * v, h & 0xffff | 8 << 16 | 0x8e00 << 32);
        put(h, 0xf4);
    }
    put(GDT + 8, 0x00af_9b00_0000_ffff);
    put(GDT + 0x10, 0x00cf_9300_0000_ffff);
    put(TSS + 4, STACK);
    r.poke(CODE, &code);
    let c = &mut r.cpu;
    c.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::PG;
    c.cr4 = cr4::PAE | cr4::PGE | cr4::OSFXSR;
    c.cr3 = PML4;
    c.msr.efer = efer::LME | efer::LMA | efer::SCE | efer::NXE;
    let data = Segment { limit: !0, attr: 0x93 | attr::G | attr::DB, selector: 0x10, ..Segment::default() };
    c.seg = [data; 6];
    c.seg[1] = Segment { limit: !0, attr: 0x9b | attr::G | attr::L, selector: 8, ..Segment::default() };
    c.gdtr = TableReg { base: GDT, limit: 0x3f };
    c.idtr = TableReg { base: IDT, limit: 0x1ff };
    c.tr = Segment { base: TSS, limit: 0x67, attr: 0x8b, selector: 0x20 };
    c.gpr[gpr::RSP] = STACK;
    c.rip = CODE;
    r
}

/// Ring 3, with the flat segments that it would have.
#[allow(dead_code)]
pub fn to_ring_3(r: &mut Rig) {
    let c = &mut r.cpu;
    for (n, s) in c.seg.iter_mut().enumerate() {
        s.attr |= attr::DPL;
        s.selector = if n == 1 { 0x1b } else { 0x23 };
    }
    c.cpl = 3;
    for entry in [PML4, PML4 + 0x1000, PD] {
        let v = r.peek64(entry) | 4;
        r.poke(entry, &v.to_le_bytes());
    }
}

/// Runs to HLT; the vector, if it was a handler's.
pub fn halts(r: &mut Rig) -> Option<u8> {
    assert_eq!(r.run(1_000_000), Stop::Halted, "at {:x}", r.cpu.rip);
    let rip = r.cpu.rip;
    (HANDLERS..HANDLERS + 512).contains(&rip).then(|| ((rip - HANDLERS) / 16) as u8)
}

/// Runs a test on each engine.
pub fn on_both(f: impl Fn(Engine)) {
    for engine in [Engine::Interpreter, Engine::Translator] {
        println!("{engine:?}");
        f(engine);
    }
}
