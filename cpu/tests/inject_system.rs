//! Each access that far transfers, interrupts, task switches and segment loads make to descriptor tables, task-state
//! segments and stacks, made to fault once: every structure in turn lies across a page boundary, at each of its words, and
//! the page on either side of it is taken away or made read-only; table and segment limits are tried likewise.
//!
//! Rules from Intel SDM volume 3: 4.6.1 and 4.7 (implicit accesses to system structures are the supervisor's; error codes),
//! 5.3 and 6.13 (limits), 7.3 (a task switch changes nothing before its commit point). Accessed and busy bits may be set.

mod rig;
use lucid86_cpu::fault::vector;
use lucid86_cpu::helper::{self, SoftKind};
use lucid86_cpu::state::{Seg, Segment, TableReg, attr, cr0, flag, gpr};
use lucid86_cpu::{Cpu, Exec, Fault};
use rig::Rig;

/// The structures, in the order of their windows.
const GDT: usize = 0;
const LDT: usize = 1;
const IDT: usize = 2;
const TSS: usize = 3;
const TSS_B: usize = 4;
const INNER: usize = 5;
const STACK: usize = 6;
const NAMES: [&str; 7] = ["GDT", "LDT", "IDT", "TSS", "new TSS", "inner stack", "stack"];
const SIZES: [u64; 7] = [0x60, 0x10, 0x220, 0x90, 0x68, 0x80, 0x80];

const ROOT: u64 = 0xf_0000;
const CODE0: u16 = 0x08;
const DATA0: u16 = 0x10;
const CODE3: u16 = 0x18 | 3;
const DATA3: u16 = 0x20 | 3;
/// A TSS descriptor takes 8 bytes in legacy mode, 16 in long mode; so do the others from here on.
const TSS_SEL: u16 = 0x30;
const TSS_B_SEL: u16 = 0x38;
const LDT_SEL: u16 = 0x40;
const GATE: u16 = 0x50;
const TASK_GATE: u16 = 0x58;
const USER64: u16 = 0x28 | 3;
const LOCAL: u16 = 0x0c;

/// Two pages each.
fn window(structure: usize) -> u64 {
    0x1_0000 + 0x4000 * structure as u64
}

/// A machine whose structure `split` has its page boundary at byte `k`; the others lie within a page.
struct World {
    r: Rig,
    at: [u64; 7],
    long: bool,
}

fn descriptor(base: u64, limit: u64, access: u64, flags: u64) -> u64 {
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | access << 40
        | (limit >> 16 & 15) << 48
        | flags << 52
        | (base >> 24 & 0xff) << 56
}

fn gate(selector: u16, offset: u64, access: u64, count: u64) -> u64 {
    offset & 0xffff | u64::from(selector) << 16 | count << 32 | access << 40 | (offset >> 16 & 0xffff) << 48
}

impl World {
    fn new(long: bool, cpl: u8, split: usize, k: u64) -> World {
        let mut r = Rig::new(if long { "x86-64-v2" } else { "pentium3" }, 256);
        let mut at = [0; 7];
        for (n, a) in at.iter_mut().enumerate() {
            *a = window(n) + if n == split { 0x1000 - k } else { 0 };
        }
        let table = if long {
            for (n, next) in [0x1000, 0x2000, 0x3000].into_iter().enumerate() {
                r.put64(ROOT + 0x1000 * n as u64, (ROOT + next) | 7);
            }
            r.long(cpl, ROOT);
            ROOT + 0x3000
        } else {
            r.put32(ROOT, ROOT as u32 + 0x1007);
            r.protected(cpl);
            r.cpu.cr3 = ROOT;
            r.cpu.cr0 |= cr0::PG;
            ROOT + 0x1000
        };
        r.cpu.cr0 |= cr0::WP;
        for page in 0..256 {
            if long {
                r.put64(table + 8 * page, page << 12 | 7);
            } else {
                r.put32(table + 4 * page, (page << 12) as u32 | 7);
            }
        }
        let mut w = World { r, at, long };
        w.tables();
        let c = &mut w.r.cpu;
        c.gdtr = TableReg { base: at[GDT], limit: SIZES[GDT] as u16 - 1 };
        c.idtr = TableReg { base: at[IDT], limit: SIZES[IDT] as u16 - 1 };
        c.ldtr = Segment { base: at[LDT], limit: 0xf, attr: attr::P | 2, selector: LDT_SEL };
        c.tr = Segment { base: at[TSS], limit: SIZES[TSS] as u32 - 1, attr: attr::P | 11, selector: TSS_SEL };
        let (code, data) = match (cpl, long) {
            (0, _) => (CODE0, DATA0),
            (_, true) => (USER64, DATA3),
            _ => (CODE3, DATA3),
        };
        for (n, s) in c.seg.iter_mut().enumerate() {
            s.selector = if n == Seg::Cs as usize { code } else { data };
        }
        c.rip = 0x7777;
        c.rflags = flag::ONE | flag::CF;
        c.gpr[gpr::RSP] = at[STACK] + 0x40;
        w
    }

    fn tables(&mut self) {
        let (at, long) = (self.at, self.long);
        let r = &mut self.r;
        let mut entry = |selector: u16, v: u64| r.put64(at[GDT] + u64::from(selector & !7), v);
        let size = if long { 0xa } else { 0xc };
        // None is marked accessed yet.
        entry(CODE0, descriptor(0, 0xf_ffff, 0x9a, size));
        entry(DATA0, descriptor(0, 0xf_ffff, 0x92, 0xc));
        entry(CODE3, descriptor(0, 0xf_ffff, 0xfa, 0xc));
        entry(DATA3, descriptor(0, 0xf_ffff, 0xf2, 0xc));
        entry(TSS_SEL, descriptor(at[TSS], SIZES[TSS] - 1, 0x8b, 0));
        entry(LDT_SEL, descriptor(at[LDT], 0xf, 0x82, 0));
        if long {
            entry(USER64, descriptor(0, 0xf_ffff, 0xfa, 0xa));
            entry(GATE, gate(CODE0, 0x3456, 0xec, 0));
        } else {
            entry(TSS_B_SEL, descriptor(at[TSS_B], 0x67, 0xe9, 0));
            entry(GATE, gate(CODE0, 0x3456, 0xec, 2));
            entry(TASK_GATE, gate(TSS_B_SEL, 0, 0xe5, 0));
        }
        r.put64(at[LDT] + 8, descriptor(0x1234, 0xfff, 0xf2, 0x4));
        let mut vector = |v: u64, g: u64| r.put64(at[IDT] + if long { 16 * v } else { 8 * v }, g);
        vector(0x20, gate(CODE0, 0x4000, 0xee, 0));
        vector(0x21, if long { gate(CODE0, 0x4000, 0xee, 1) } else { gate(TSS_B_SEL, 0, 0xe5, 0) });
        let top = at[INNER] + SIZES[INNER];
        if long {
            r.put64(at[TSS] + 4, top);
            r.put64(at[TSS] + 36, top);
        } else {
            r.put32(at[TSS] + 4, top as u32);
            r.put16(at[TSS] + 8, DATA0);
            let b = at[TSS_B];
            r.put32(b + 28, ROOT as u32);
            r.put32(b + 32, 0x9000);
            r.put32(b + 36, 2);
            r.put32(b + 56, at[INNER] as u32 + 0x40);
            for (i, s) in [DATA0, CODE0, DATA0, DATA0, DATA3, 0].into_iter().enumerate() {
                r.put16(b + 72 + 4 * i as u64, s);
            }
            r.put16(b + 96, LDT_SEL);
        }
        r.put16(at[TSS] + 102, 0x68);
    }

    /// The words of a frame, from the stack pointer up.
    fn frame(&mut self, words: &[u64]) {
        let sp = self.at[STACK] + 0x40;
        for (i, v) in words.iter().enumerate() {
            if self.long {
                self.r.put64(sp + 8 * i as u64, *v);
            } else {
                self.r.put32(sp + 4 * i as u64, *v as u32);
            }
        }
    }

    /// The page-table bits of one of a structure's two pages.
    fn set_page(&mut self, structure: usize, side: u64, bits: u64) {
        let page = (window(structure) >> 12) + side;
        if self.long {
            self.r.put64(ROOT + 0x3000 + 8 * page, page << 12 | bits);
        } else {
            self.r.put32(ROOT + 0x1000 + 4 * page, (page << 12 | bits) as u32);
        }
    }

    fn memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; 7 * 0x2000];
        for n in 0..7 {
            self.r.mem.read_physical(window(n), &mut bytes[0x2000 * n..][..0x2000]);
        }
        // Accessed and busy bits of the global and the local table.
        for n in [GDT, LDT] {
            let start = 0x2000 * n + (self.at[n] - window(n)) as usize;
            for d in bytes[start..][..SIZES[n] as usize].chunks_mut(8) {
                let system = d[5] & 0x10 == 0;
                d[5] &= if system { !2 } else { !1 };
            }
        }
        bytes
    }
}

struct Op {
    name: &'static str,
    long: bool,
    cpl: u8,
    prepare: fn(&mut World),
    run: fn(&mut Exec) -> Result<(), Fault>,
}

fn plain(_: &mut World) {}

fn v86(w: &mut World) {
    w.r.cpu.rflags |= flag::VM | flag::IOPL;
    for s in &mut w.r.cpu.seg {
        *s = Segment { base: 0x1000, limit: 0xffff, attr: 0xf3, selector: 0x100 };
    }
}

fn nested(w: &mut World) {
    w.r.cpu.rflags |= flag::NT;
    w.r.put16(w.at[TSS], TSS_B_SEL);
    let busy = descriptor(w.at[TSS_B], 0x67, 0xeb, 0);
    w.r.put64(w.at[GDT] + u64::from(TSS_B_SEL), busy);
}

const OPS: &[Op] = &[
    Op { name: "INT, inner level", long: false, cpl: 3, prepare: plain, run: |x| int(x, 0x20) },
    Op { name: "INT, same level", long: false, cpl: 0, prepare: plain, run: |x| int(x, 0x20) },
    Op { name: "INT, task gate", long: false, cpl: 3, prepare: plain, run: |x| int(x, 0x21) },
    Op { name: "INT, V86", long: false, cpl: 3, prepare: v86, run: |x| int(x, 0x20) },
    Op {
        name: "CALL, inner level",
        long: false,
        cpl: 3,
        prepare: |w| w.frame(&[0x1111, 0x2222]),
        run: |x| helper::far_call(x, GATE | 3, 0, 4, 0x777e),
    },
    Op {
        name: "CALL, same level",
        long: false,
        cpl: 0,
        prepare: plain,
        run: |x| helper::far_call(x, CODE0, 0x123, 4, 0x777e),
    },
    Op {
        name: "CALL, TSS",
        long: false,
        cpl: 0,
        prepare: plain,
        run: |x| helper::far_call(x, TSS_B_SEL, 0, 4, 0x777e),
    },
    Op {
        name: "CALL, task gate",
        long: false,
        cpl: 3,
        prepare: plain,
        run: |x| helper::far_call(x, TASK_GATE | 3, 0, 4, 0x777e),
    },
    Op {
        name: "JMP, TSS",
        long: false,
        cpl: 0,
        prepare: plain,
        run: |x| helper::far_jump(x, TSS_B_SEL, 0, 4, 0x777e),
    },
    Op {
        name: "RETF, same level",
        long: false,
        cpl: 0,
        prepare: |w| w.frame(&[0x1234, CODE0.into()]),
        run: |x| helper::far_ret(x, 4, 0),
    },
    Op {
        name: "RETF, outer level",
        long: false,
        cpl: 0,
        prepare: |w| w.frame(&[0x1234, CODE3.into(), 1, 2, 0x5000, DATA3.into()]),
        run: |x| helper::far_ret(x, 4, 8),
    },
    Op {
        name: "IRET, same level",
        long: false,
        cpl: 0,
        prepare: |w| w.frame(&[0x1234, CODE0.into(), 2]),
        run: |x| helper::iret(x, 4, 0x7778),
    },
    Op {
        name: "IRET, outer level",
        long: false,
        cpl: 0,
        prepare: |w| w.frame(&[0x1234, CODE3.into(), 2, 0x5000, DATA3.into()]),
        run: |x| helper::iret(x, 4, 0x7778),
    },
    Op {
        name: "IRET, V86",
        long: false,
        cpl: 0,
        prepare: |w| w.frame(&[0x100, 0x200, flag::VM | 2, 0xfffe, 0x300, 0x400, 0x500, 0x600, 0x700]),
        run: |x| helper::iret(x, 4, 0x7778),
    },
    Op { name: "IRET, task", long: false, cpl: 0, prepare: nested, run: |x| helper::iret(x, 4, 0x7778) },
    Op { name: "MOV DS, GDT", long: false, cpl: 0, prepare: plain, run: |x| load(x, Seg::Ds, DATA0) },
    Op { name: "MOV DS, LDT", long: false, cpl: 3, prepare: plain, run: |x| load(x, Seg::Ds, LOCAL) },
    Op { name: "MOV SS", long: false, cpl: 0, prepare: plain, run: |x| load(x, Seg::Ss, DATA0) },
    Op { name: "LLDT", long: false, cpl: 0, prepare: plain, run: |x| helper::lldt(x, LDT_SEL) },
    Op { name: "LTR", long: false, cpl: 0, prepare: plain, run: |x| helper::ltr(x, TSS_B_SEL) },
    Op {
        name: "LAR",
        long: false,
        cpl: 0,
        prepare: plain,
        run: |x| helper::look(x, LOCAL, false).and_then(|v| said(v.is_some())),
    },
    Op {
        name: "VERW",
        long: false,
        cpl: 3,
        prepare: plain,
        run: |x| helper::verify(x, LOCAL, true).and_then(said),
    },
    Op { name: "IN", long: false, cpl: 3, prepare: plain, run: |x| helper::check_io(x, 0x3f, 2) },
    Op { name: "INT, inner level, 64", long: true, cpl: 3, prepare: plain, run: |x| int(x, 0x20) },
    Op { name: "INT, same level, 64", long: true, cpl: 0, prepare: plain, run: |x| int(x, 0x20) },
    Op { name: "INT, IST", long: true, cpl: 0, prepare: plain, run: |x| int(x, 0x21) },
    Op {
        name: "CALL, inner level, 64",
        long: true,
        cpl: 3,
        prepare: plain,
        run: |x| helper::far_call(x, GATE | 3, 0, 4, 0x777e),
    },
    Op {
        name: "RETF, outer level, 64",
        long: true,
        cpl: 0,
        prepare: |w| w.frame(&[0x1234, USER64.into(), 0x5000, DATA3.into()]),
        run: |x| helper::far_ret(x, 8, 0),
    },
    Op {
        name: "IRETQ",
        long: true,
        cpl: 0,
        prepare: |w| w.frame(&[0x1234, USER64.into(), 2, 0x5000, DATA3.into()]),
        run: |x| helper::iret(x, 8, 0x7779),
    },
    Op { name: "MOV DS, LDT, 64", long: true, cpl: 3, prepare: plain, run: |x| load(x, Seg::Ds, LOCAL) },
    Op { name: "LLDT, 64", long: true, cpl: 0, prepare: plain, run: |x| helper::lldt(x, LDT_SEL) },
    Op {
        name: "LTR, 64",
        long: true,
        cpl: 0,
        prepare: |w| {
            let free = descriptor(w.at[TSS], SIZES[TSS] - 1, 0x89, 0);
            w.r.put64(w.at[GDT] + u64::from(TSS_SEL), free);
        },
        run: |x| helper::ltr(x, TSS_SEL),
    },
    Op { name: "IN, 64", long: true, cpl: 3, prepare: plain, run: |x| helper::check_io(x, 0x3f, 2) },
];

/// LAR and VERW say by ZF what others raise.
fn said(zf: bool) -> Result<(), Fault> {
    if zf { Ok(()) } else { Err(Fault::gp(LOCAL.into())) }
}

fn int(x: &mut Exec, v: u8) -> Result<(), Fault> {
    helper::soft_int(x, v, SoftKind::Int, 0x7779)
}

fn load(x: &mut Exec, seg: Seg, selector: u16) -> Result<(), Fault> {
    helper::load_segment(x, seg, selector)
}

/// What a run leaves.
struct Run {
    result: Result<(), Fault>,
    before: (Cpu, Vec<u8>),
    after: (Cpu, Vec<u8>),
}

fn attempt(op: &Op, split: usize, k: u64, spoil: impl FnOnce(&mut World)) -> Run {
    let mut w = World::new(op.long, op.cpl, split, k);
    (op.prepare)(&mut w);
    spoil(&mut w);
    // Spoiling counts as what was before.
    let before = (w.r.cpu.clone(), w.memory());
    let result = (op.run)(&mut w.r.exec());
    let after = (w.r.cpu.clone(), w.memory());
    Run { result, before, after }
}

/// Nothing has changed, or a task switch has passed its commit point.
fn kept(op: &Op, run: &Run) -> bool {
    let switches = op.name.contains("task") || op.name.contains("TSS");
    let committed = switches && run.after.0.tr.selector == TSS_B_SEL;
    committed || run.before == run.after
}

#[test]
fn pages_of_system_structures() {
    let (mut struck, mut runs) = (0, 0);
    for op in OPS {
        for structure in 0..7 {
            let mut met = false;
            for k in (0..=SIZES[structure]).step_by(2) {
                let whole = attempt(op, structure, k, |_| {});
                assert_eq!(whole.result, Ok(()), "{}", op.name);
                for (side, bits) in [(0, 0), (1, 0), (0, 5), (1, 5)] {
                    let run = attempt(op, structure, k, |w| w.set_page(structure, side, bits));
                    let what =
                        format!("{}, {} split at {k:x}h, page {side}: {bits}", op.name, NAMES[structure]);
                    runs += 1;
                    let page = 0x2000 * structure + 0x1000 * side as usize;
                    let span = page..page + 0x1000;
                    let written = whole.before.1[span.clone()] != whole.after.1[span];
                    let Err(f) = run.result else {
                        assert!(!written, "{what}: a store went through");
                        assert!(run.after == whole.after, "{what}: it ends otherwise");
                        continue;
                    };
                    (struck, met) = (struck + 1, true);
                    assert_eq!(f.vector, vector::PF, "{what}: {f:?}");
                    let start = window(structure) + 0x1000 * side;
                    assert!((start..start + 0x1000).contains(&f.info), "{what}: {f:x?}");
                    let code = f.code.unwrap_or(!0);
                    assert_eq!(code & !6, (bits & 1) as u32, "{what}: {f:x?}");
                    assert!(bits == 0 || code & 2 != 0, "{what}: reading is allowed: {f:x?}");
                    // Only parameters on the outer stack are the program's.
                    let user = structure == STACK && op.cpl == 3;
                    assert!(user || code & 4 == 0, "{what}: not the user's access: {f:x?}");
                    assert!(kept(op, &run), "{what}: {f:x?} changed something");
                }
            }
            assert_eq!(met, reaches(op, structure), "{}, {}", op.name, NAMES[structure]);
        }
    }
    assert!(struck > 8_000, "{struck} of {runs}");
}

/// Which structures an operation has to do with.
fn reaches(op: &Op, structure: usize) -> bool {
    let n = op.name;
    let starts = |list: &[&str]| list.iter().any(|s| n.starts_with(s));
    let task = n.contains("task") || n.ends_with(", TSS");
    let inner = n.contains("inner") || n == "INT, V86" || n == "INT, IST";
    match structure {
        GDT => {
            !n.contains("LDT") && !starts(&["IN,", "LAR", "VERW"]) && n != "IN" && n != "IRET, V86"
                || n.starts_with("LLDT")
        }
        LDT => n.contains(", LDT") || starts(&["LAR", "VERW"]),
        IDT => n.starts_with("INT"),
        TSS => inner || task || n == "IN" || n == "IN, 64",
        TSS_B => task,
        INNER => inner,
        _ => starts(&["RETF", "IRET"]) && n != "IRET, task" || n.contains("same") || n == "CALL, inner level",
    }
}

/// A limit before the end of what is needed: an exception that names it, and nothing changed; from some limit on, success.
#[test]
fn limits_of_system_structures() {
    for op in OPS {
        for structure in [GDT, LDT, IDT, TSS, STACK] {
            let mut done = false;
            for limit in 0..SIZES[structure] as u32 {
                let run = attempt(op, GDT, 0x1000, |w| {
                    let stack = w.at[STACK] as u32;
                    let c = &mut w.r.cpu;
                    match structure {
                        GDT => c.gdtr.limit = limit as u16,
                        LDT => c.ldtr.limit = limit,
                        IDT => c.idtr.limit = limit as u16,
                        TSS => c.tr.limit = limit,
                        _ => c.seg[Seg::Ss as usize].limit = stack + limit,
                    }
                });
                let what = format!("{}, {} to {limit:x}h", op.name, NAMES[structure]);
                match run.result {
                    Ok(()) => done = true,
                    Err(f) => {
                        assert!(!done, "{what}: {f:x?}, where less was enough");
                        assert!(kept(op, &run), "{what}: {f:x?} changed something");
                        limit_fault(op, structure, f, &what);
                    }
                }
            }
        }
    }
}

/// The exceptions of limits: volume 3, 6.15; volume 2, under each instruction.
fn limit_fault(op: &Op, structure: usize, f: Fault, what: &str) {
    let code = f.code.unwrap_or(!0);
    let ok = match structure {
        GDT | LDT => {
            let named =
                [CODE0, DATA0, CODE3, DATA3, TSS_SEL, TSS_B_SEL, LDT_SEL, GATE, TASK_GATE, USER64, LOCAL]
                    .iter()
                    .any(|s| u32::from(s & !3) == code & !3);
            matches!(f.vector, vector::GP | vector::TS) && named
        }
        IDT => {
            f.vector == vector::GP
                && code == if op.name.contains("task") || op.name.contains("IST") { 0x10a } else { 0x102 }
        }
        TSS if op.name.starts_with("IN") && !op.name.starts_with("INT") => f == Fault::gp(0),
        TSS => f == Fault::ts(u32::from(TSS_SEL)),
        _ => f == Fault::ss(0),
    };
    assert!(ok, "{what}: {f:x?}");
}
