//! Flat programs: raw code whose register results were read off a real processor, in the format of
//! `shared/vectors/README.md`, part 2.
//!
//! A program runs at CPL 3 with paging on, 32-bit or 64-bit, flat segments. Page tables, descriptor tables and the
//! supervisor stack live in a system area that the program's address space does not show to user code. Every vector
//! has a gate to a HLT of its own, so the way in which a program ended can be told: #GP from the program's own HLT is
//! the proper end.

use crate::captures::unhex;
use crate::rig::Rig;
use crate::tally::{Tally, VectorOptions};
use lucid86_cpu::derived::Engine;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::fault::vector;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{Segment, TableReg, cr0, cr4, efer};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    test: String,
    bits: u32,
    #[serde(default)]
    regions: Vec<(Number, Number)>,
    #[serde(default)]
    mem: Vec<(Number, String)>,
    regs: BTreeMap<String, OneOrMore>,
    #[serde(default)]
    features: Vec<String>,
}

/// A number as JSON number or as text (decimal or 0x).
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Number {
    Int(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Number),
    More(Vec<Number>),
}

impl Number {
    fn get(&self) -> Result<u64, String> {
        match self {
            Number::Int(v) => Ok(*v),
            Number::Text(t) => match t.strip_prefix("0x").or_else(|| t.strip_prefix("0X")) {
                Some(h) => u64::from_str_radix(h, 16),
                None => t.parse(),
            }
            .map_err(|e| format!("'{t}': {e}")),
        }
    }
}

impl OneOrMore {
    fn words(&self) -> Result<Vec<u64>, String> {
        match self {
            OneOrMore::One(n) => Ok(vec![n.get()?]),
            OneOrMore::More(v) => v.iter().map(Number::get).collect(),
        }
    }
}

/// Where a program is loaded and entered.
const CODE: u64 = 0x1_0000;
const STACK_SIZE: u64 = 0x4_0000;
/// Instructions after which a program counts as endless.
const LIMIT: u64 = 200_000_000;

/// `flat DIR ...`
pub fn command(args: &[String]) -> Result<Tally, String> {
    let o = VectorOptions::parse(args)?;
    let manifest = o.dir.join("manifest.jsonl");
    let text = std::fs::read_to_string(&manifest).map_err(|e| format!("{}: {e}", manifest.display()))?;
    let mut tally = Tally::default();
    let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let p: Program =
            serde_json::from_str(line).map_err(|e| format!("{}:{}: {e}", manifest.display(), n + 1))?;
        let model = match smallest_model(&p) {
            Ok(m) => m,
            Err(missing) => {
                *skipped.entry(missing).or_default() += 1;
                tally.skipped += 1;
                continue;
            }
        };
        let path = o.dir.join(format!("{}.bin", p.test));
        let verdict = std::fs::read(&path)
            .map_err(|e| format!("{}: {e}", path.display()))
            .and_then(|code| run(&p, model, &code, o.engine));
        match verdict {
            Ok(()) => tally.passed += 1,
            Err(diff) => {
                tally.failed += 1;
                if tally.failed <= o.limit {
                    println!("{} {n}: {diff}", p.test);
                }
            }
        }
    }
    for (feature, n) in skipped {
        println!("skipped {n}: no processor model has '{feature}' yet");
    }
    Ok(tally)
}

/// A feature by the name that this project's models know it by. CPUID names differ between manuals.
fn feature_name(f: &str) -> String {
    let f = f.to_lowercase().replace(['_', '-'], ".");
    match f.as_str() {
        "pni" => "sse3",
        "pclmul" | "clmul" => "pclmulqdq",
        "sha.ni" => "sha",
        "aesni" | "aes.ni" => "aes",
        "cmpxchg16b" => "cx16",
        "lahf" | "lahf.lm" | "lahf.sahf" => "lahf_lm",
        "rdrnd" => "rdrand",
        "abm" => "lzcnt",
        "sse4" => "sse4.1",
        other => other,
    }
    .to_owned()
}

/// The smallest model with all features of the program; else the feature that none has.
fn smallest_model(p: &Program) -> Result<CpuModel, String> {
    const LADDER: [&str; 3] = ["x86-64-v1", "x86-64-v2", "x86-64-v3"];
    let names: Vec<String> = p.features.iter().map(|f| feature_name(f)).collect();
    let with = |base: &str| -> Result<CpuModel, String> {
        let plus: String = names.iter().map(|f| format!(",+{f}")).collect();
        CpuModel::parse(&format!("{base}{plus}"))
    };
    for base in LADDER {
        if let (Ok(plain), Ok(more)) = (CpuModel::parse(base), with(base))
            && plain.features == more.features
        {
            return Ok(plain);
        }
    }
    // Beyond the levels, features are added by name.
    let missing = || names.iter().find(|f| CpuModel::parse(&format!("x86-64-v2,+{f}")).is_err()).cloned();
    with("x86-64-v2").map_err(|e| missing().unwrap_or(e))
}

/// A bump allocator of physical pages, and the page tables built with it.
struct Space {
    next: u64,
    root: u64,
    long: bool,
}

const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const USER: u64 = 4;

impl Space {
    fn page(&mut self) -> u64 {
        self.next += 0x1000;
        self.next - 0x1000
    }

    /// Maps one page: four-level paging for 64-bit programs, PAE for 32-bit ones.
    fn map(&mut self, rig: &mut Rig, linear: u64, physical: u64, flags: u64) {
        let mut table = self.root;
        let levels: &[u32] = if self.long { &[39, 30, 21] } else { &[30, 21] };
        for &shift in levels {
            let index = linear >> shift & if shift == 30 && !self.long { 3 } else { 511 };
            let at = table + 8 * index;
            let entry = rig.peek64(at);
            table = if entry & PRESENT != 0 {
                entry & !0xfff
            } else {
                let page = self.page();
                // A PAE page-directory-pointer entry has no write or user bit.
                let bits = if shift == 30 && !self.long { PRESENT } else { PRESENT | WRITE | USER };
                rig.poke(at, &(page | bits).to_le_bytes());
                page
            };
        }
        rig.poke(table + 8 * (linear >> 12 & 511), &(physical | flags).to_le_bytes());
    }

    /// Backs a range of user memory with fresh pages, where it has none yet.
    fn back(&mut self, rig: &mut Rig, base: u64, size: u64) {
        for page in (base & !0xfff..base + size.max(1)).step_by(0x1000) {
            if self.physical(rig, page).is_none() {
                let p = self.page();
                self.map(rig, page, p, PRESENT | WRITE | USER);
            }
        }
    }

    fn physical(&self, rig: &Rig, linear: u64) -> Option<u64> {
        let mut table = self.root;
        let levels: &[u32] = if self.long { &[39, 30, 21, 12] } else { &[30, 21, 12] };
        for &shift in levels {
            let index = linear >> shift & if shift == 30 && !self.long { 3 } else { 511 };
            let entry = rig.peek64(table + 8 * index);
            if entry & PRESENT == 0 {
                return None;
            }
            table = entry & 0x000f_ffff_ffff_f000;
        }
        Some(table | linear & 0xfff)
    }

    fn poke(&self, rig: &mut Rig, linear: u64, bytes: &[u8]) -> Result<(), String> {
        for (i, b) in bytes.iter().enumerate() {
            let at = self
                .physical(rig, linear + i as u64)
                .ok_or(format!("no memory at {:X}", linear + i as u64))?;
            rig.poke(at, &[*b]);
        }
        Ok(())
    }
}

/// Selectors of the flat descriptors below.
mod sel {
    pub const CODE0: u16 = 0x08;
    pub const DATA0: u16 = 0x10;
    pub const CODE3: u16 = 0x1b;
    pub const DATA3: u16 = 0x23;
    pub const TSS: u16 = 0x28;
}

/// The system area, linear = where it is mapped, supervisor only.
const SYSTEM: u64 = 0x7000_0000;
const GDT: u64 = SYSTEM;
const IDT: u64 = SYSTEM + 0x1000;
const TSS: u64 = SYSTEM + 0x2000;
const HANDLERS: u64 = SYSTEM + 0x3000;
const STACK0: u64 = SYSTEM + 0x5000;

fn run(p: &Program, model: CpuModel, code: &[u8], engine: Engine) -> Result<(), String> {
    let long = match p.bits {
        64 => true,
        32 => false,
        other => return Err(format!("{other}-bit programs are not in the format")),
    };
    let mut bytes = 4 << 20;
    for (_, size) in &p.regions {
        bytes += size.get()?.next_multiple_of(0x1000) + 0x4000;
    }
    if bytes > 1 << 30 {
        return Err("wants more than 1 GiB".into());
    }
    let mut rig = Rig::eager(model, bytes + code.len() as u64, engine);
    let mut space = Space { next: 0x2000, root: 0x1000, long };
    space.back(&mut rig, CODE, code.len() as u64 + 0x1000);
    let stack = find_stack(p)?;
    space.back(&mut rig, stack, STACK_SIZE);
    for (base, size) in &p.regions {
        space.back(&mut rig, base.get()?, size.get()?);
    }
    space.poke(&mut rig, CODE, code)?;
    for (at, hex) in &p.mem {
        space.poke(&mut rig, at.get()?, &unhex(hex)?)?;
    }
    system_area(&mut rig, &mut space)?;
    enter(&mut rig, &space, long, stack + STACK_SIZE);
    match rig.run(LIMIT) {
        Stop::Halted => {}
        stop => return Err(format!("ended by {stop:?} at {:X}", rig.cpu.rip)),
    }
    let vector = (rig.cpu.rip.wrapping_sub(HANDLERS + 1)) as u8;
    let word = if long { 8 } else { 4 };
    // After a fault with error code: code, IP, CS, FLAGS, SP, SS.
    let read = |n: u64| {
        let at = space.physical(&rig, rig.cpu.gpr[4] + n * word).unwrap_or(0);
        rig.peek64(at) & if long { !0 } else { 0xffff_ffff }
    };
    let has_code = matches!(vector, vector::DF | vector::TS..=vector::PF | vector::AC);
    let ip = read(has_code as u64);
    let at_hlt = space.physical(&rig, ip).is_some_and(|a| rig.peek(a) == 0xf4);
    if vector != vector::GP || !at_hlt {
        return Err(format!("exception {vector} at {ip:X} (CR2 {:X})", rig.cpu.cr2));
    }
    let sp = read(4);
    compare(p, &rig, sp)
}

/// A place for the stack that no region covers.
fn find_stack(p: &Program) -> Result<u64, String> {
    let mut at = 0x6000_0000;
    loop {
        let mut free = true;
        for (base, size) in &p.regions {
            let (base, size) = (base.get()?, size.get()?);
            if base < at + STACK_SIZE + 0x1000 && at < base + size + 0x1000 {
                free = false;
            }
        }
        if free {
            return Ok(at);
        }
        at -= 0x100_0000;
        if at < 0x100_0000 {
            return Err("no room for a stack".into());
        }
    }
}

/// Builds descriptor tables, TSS, handlers and the supervisor stack.
fn system_area(rig: &mut Rig, space: &mut Space) -> Result<(), String> {
    for n in 0..8 {
        let page = space.page();
        space.map(rig, SYSTEM + n * 0x1000, page, PRESENT | WRITE);
    }
    let flat = |access: u64, top: u64| 0xffff | access << 40 | (0xf | top) << 48;
    let (code_top, tss_type) = if space.long { (0xa0, 0x89) } else { (0xc0, 0x89) };
    let gdt = [
        0,
        flat(0x9b, code_top),
        flat(0x93, 0xc0),
        flat(0xfb, code_top),
        flat(0xf3, 0xc0),
        0x67 | (TSS & 0xff_ffff) << 16 | tss_type << 40 | (TSS >> 24 & 0xff) << 56,
        TSS >> 32,
    ];
    for (i, d) in gdt.iter().enumerate() {
        space.poke(rig, GDT + 8 * i as u64, &d.to_le_bytes())?;
    }
    for v in 0..256u64 {
        let to = HANDLERS + v;
        let gate = to & 0xffff | u64::from(sel::CODE0) << 16 | 0x8e << 40 | (to >> 16 & 0xffff) << 48;
        if space.long {
            space.poke(rig, IDT + 16 * v, &gate.to_le_bytes())?;
            space.poke(rig, IDT + 16 * v + 8, &(to >> 32).to_le_bytes())?;
        } else {
            space.poke(rig, IDT + 8 * v, &gate.to_le_bytes())?;
        }
        space.poke(rig, to, &[0xf4])?;
    }
    if space.long {
        space.poke(rig, TSS + 4, &(STACK0 + 0x1000).to_le_bytes())?;
    } else {
        space.poke(rig, TSS + 4, &(STACK0 as u32 + 0x1000).to_le_bytes())?;
        space.poke(rig, TSS + 8, &sel::DATA0.to_le_bytes())?;
    }
    space.poke(rig, TSS + 0x66, &0x68u16.to_le_bytes())
}

fn enter(rig: &mut Rig, space: &Space, long: bool, sp: u64) {
    let cpu = &mut rig.cpu;
    cpu.reset();
    cpu.gpr = [0; 16];
    cpu.gpr[4] = sp;
    cpu.rip = CODE;
    cpu.rflags = 2;
    cpu.mxcsr = 0x1f80;
    cpu.fpu = Default::default();
    cpu.cr3 = space.root;
    cpu.cr4 = cr4::PAE | cr4::OSFXSR | cr4::OSXMMEXCPT;
    if cpu.model.has(lucid86_cpu::model::Feature::Xsave) {
        cpu.cr4 |= cr4::OSXSAVE;
        cpu.xcr0 = if cpu.model.has(lucid86_cpu::model::Feature::Avx) { 7 } else { 3 };
    }
    cpu.cr0 = cr0::PE | cr0::PG | cr0::NE | cr0::ET | cr0::MP | cr0::WP;
    if long {
        cpu.msr.efer = efer::LME | efer::LMA | efer::SCE;
    } else {
        for i in 0..4 {
            cpu.pdpte[i] = {
                let mut b = [0; 8];
                rig.mem.read_physical(space.root + 8 * i as u64, &mut b);
                u64::from_le_bytes(b)
            };
        }
    }
    let data = Segment { base: 0, limit: u32::MAX, attr: 0xc0f3, selector: sel::DATA3 };
    cpu.seg = [data; 6];
    cpu.seg[1] = Segment { attr: if long { 0xa0fb } else { 0xc0fb }, selector: sel::CODE3, ..data };
    cpu.tr = Segment { base: TSS, limit: 0x67, attr: 0x8b, selector: sel::TSS };
    cpu.gdtr = TableReg { base: GDT, limit: 0x37 };
    cpu.idtr = TableReg { base: IDT, limit: 0xfff };
    cpu.cpl = 3;
}

const NAMES: [&str; 16] = [
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14",
    "R15",
];

fn compare(p: &Program, rig: &Rig, sp: u64) -> Result<(), String> {
    let mut diffs = Vec::new();
    for (name, want) in &p.regs {
        let want = want.words()?;
        let got = if let Some(n) = NAMES.iter().position(|r| r == name) {
            let v = if n == 4 { sp } else { rig.cpu.gpr[n] };
            vec![if p.bits == 32 { v & 0xffff_ffff } else { v }]
        } else if let Some(n) = name
            .strip_prefix("XMM")
            .or_else(|| name.strip_prefix("YMM"))
            .and_then(|n| n.parse::<usize>().ok())
        {
            rig.cpu.vec.get(n).ok_or(format!("no register {name}"))?.0[..want.len().min(4)].to_vec()
        } else if let Some(n) = name.strip_prefix("MM").and_then(|n| n.parse::<usize>().ok()) {
            let r = rig.cpu.fpu.regs.get(n).ok_or(format!("no register {name}"))?;
            if want.len() == 2 { vec![r.mant, u64::from(r.se)] } else { vec![r.mant] }
        } else {
            return Err(format!("no register {name}"));
        };
        if got != want {
            diffs.push(format!("{name} expected {want:X?} got {got:X?}"));
        }
    }
    if diffs.is_empty() { Ok(()) } else { Err(diffs.join("; ")) }
}
