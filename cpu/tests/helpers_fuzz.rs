//! Helpers under noise: random processor state, random tables, random operands. Nothing panics, and a fault leaves the
//! processor as it was (DESIGN §2), but for what the architecture excepts: a task switch past its commit point, and NMI
//! blocking after IRET. Meant for debug builds too, where overflow panics.

mod rig;
use lucid86_cpu::helper::{self, SoftKind};
use lucid86_cpu::mmu::Access;
use lucid86_cpu::state::{Seg, Segment, TableReg, attr, cr0, cr4, efer, flag, gpr};
use lucid86_cpu::{Exec, Fault};
use rig::Rig;

/// A xorshift generator.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn chance(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    /// A number that is often small, at an edge, or near the tables.
    fn word(&mut self) -> u64 {
        match self.below(8) {
            0 => self.below(256),
            1 => !self.below(256),
            2 => 0xffff_ffff - self.below(32),
            3 => 0x7fff_ffff_ffff - self.below(4096),
            4 => self.next(),
            5 => 0xffff - self.below(16),
            _ => self.below(0x1_0000),
        }
    }
    fn selector(&mut self) -> u16 {
        if self.chance(8) { self.next() as u16 } else { self.below(0x90) as u16 }
    }
}

const MODELS: [&str; 6] = ["x86-64-v2,+xsave", "x86-64-v2", "pentium3", "486", "286", "8086"];

fn segment(n: &mut Noise) -> Segment {
    let mut attributes = n.next() as u16 & 0xf0ff;
    if !n.chance(6) {
        attributes |= attr::P | attr::S;
    }
    if n.chance(8) {
        attributes |= attr::UNUSABLE;
    }
    let limit = if n.chance(2) { !0 } else { n.word() as u32 };
    Segment { base: n.below(0x1_0000) & n.next(), limit, attr: attributes, selector: n.selector() }
}

/// A descriptor that is plausible more often than not.
fn descriptor(n: &mut Noise) -> u64 {
    let kinds = [
        0x9b, 0x93, 0xfb, 0xf3, 0x9f, 0x89, 0x8b, 0xe9, 0x83, 0x81, 0x82, 0xec, 0xe4, 0xe5, 0x8e, 0xee, 0x8f,
        0xef,
    ];
    let access = if n.chance(6) { n.next() & 0xff } else { kinds[n.below(kinds.len() as u64) as usize] };
    let base = n.below(0xe000);
    let limit = if n.chance(3) { n.below(0x100) } else { 0xfffff };
    let gate = n.chance(3);
    let low =
        if gate { n.below(0x1_0000) | u64::from(n.selector()) << 16 } else { limit & 0xffff | base << 16 };
    low | access << 40 | if gate { 0 } else { (limit >> 16) << 48 | n.below(16) << 52 }
}

fn shuffle(r: &mut Rig, n: &mut Noise) {
    for page in 0..16u64 {
        if n.chance(4) {
            for i in 0..512 {
                let v = descriptor(n);
                r.put64(page * 4096 + 8 * i, v);
            }
        }
    }
    // Page tables from 10000h on, most of them identity.
    for i in 0..512u64 {
        let bits = if n.chance(16) { n.next() & 0x1e7 } else { 7 };
        r.put64(0x1_3000 + 8 * i, (i & 63) << 12 | bits);
    }
    r.put64(0x1_0000, 0x1_1007);
    r.put64(0x1_1000, 0x1_2007);
    r.put64(0x1_2000, 0x1_3007);
    let c = &mut r.cpu;
    for g in &mut c.gpr {
        *g = n.word();
    }
    c.gpr[gpr::RSP] = 0x8000 + n.below(0x100);
    if n.chance(4) {
        c.gpr[gpr::RSP] = n.word();
    }
    c.rip = n.word();
    c.rflags = n.next() & c.writable_flags() & !flag::VM | flag::ONE;
    for s in 0..6 {
        c.seg[s] = segment(n);
    }
    if c.model.name == "8086" {
        for s in &mut c.seg {
            *s =
                Segment { base: u64::from(s.selector) << 4, limit: 0xffff, attr: 0x93, selector: s.selector };
        }
    }
    c.ldtr = segment(n);
    c.tr = segment(n);
    c.tr.attr = c.tr.attr & !0x1f | [3, 11][n.below(2) as usize];
    c.gdtr = TableReg { base: n.below(0x8000), limit: if n.chance(4) { n.next() as u16 } else { 0xfff } };
    c.idtr = TableReg { base: n.below(0x8000), limit: if n.chance(4) { n.next() as u16 } else { 0xfff } };
    c.cpl = 0;
    (c.cr0, c.cr4, c.cr3, c.msr.efer) = (0, 0, 0x1_0000, 0);
    if c.model.name != "8086" && !n.chance(4) {
        c.cr0 |= cr0::PE;
        c.cpl = [0, 0, 3, 3, 1][n.below(5) as usize];
        if c.cpl == 3 && n.chance(3) && c.model.name != "286" {
            c.rflags |= flag::VM;
        }
    }
    if c.model.name == "x86-64-v2" && c.cr0 & cr0::PE != 0 && n.chance(2) {
        c.rflags &= !flag::VM;
        c.cr0 |= cr0::PG;
        c.cr4 |=
            cr4::PAE | n.next() & (cr4::SMEP | cr4::SMAP | cr4::UMIP | cr4::TSD | cr4::DE | cr4::OSXSAVE);
        c.msr.efer |= efer::LME | efer::LMA | efer::SCE;
        if n.chance(2) {
            let cs = &mut c.seg[Seg::Cs as usize];
            cs.attr = cs.attr & !attr::DB | attr::L | attr::CODE;
        }
    }
    if n.chance(4) {
        c.cr4 |= cr4::VME & helper::control::known_cr4(&c.model);
    }
    c.dr7 = 0x400 | if n.chance(4) { n.next() & 0xffff_03ff } else { 0 };
    c.dr = [0; 4].map(|_| n.below(0x1_0000));
    c.msr.star = n.next();
    c.msr.lstar = 0x4000;
    c.msr.sysenter_cs = n.below(0x40);
    c.pending_debug = 0;
    c.activity = Default::default();
    c.shadow = Default::default();
}

type Call = fn(&mut Exec<'_>, &mut Noise) -> Result<(), Fault>;

/// Every helper, with operands from the noise. `true` marks what may have switched tasks when it faults.
const CALLS: &[(&str, bool, Call)] = &[
    ("int", true, |x, n| helper::soft_int(x, n.next() as u8, SoftKind::Int, 5)),
    ("int3", true, |x, _| helper::soft_int(x, 3, SoftKind::Break, 5)),
    ("icebp", true, |x, _| helper::soft_int(x, 1, SoftKind::Icebp, 5)),
    ("iret", true, |x, n| helper::iret(x, [2, 4, 8][n.below(3) as usize], 5)),
    ("far jump", true, |x, n| helper::far_jump(x, n.selector(), n.word(), 4, 5)),
    ("far call", true, |x, n| helper::far_call(x, n.selector(), n.word(), [2, 4, 8][n.below(3) as usize], 5)),
    ("far ret", false, |x, n| helper::far_ret(x, [2, 4, 8][n.below(3) as usize], n.next() as u16)),
    ("segment", false, |x, n| {
        let s = [Seg::Es, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs][n.below(5) as usize];
        helper::load_segment(x, s, n.selector())
    }),
    ("lldt", false, |x, n| helper::lldt(x, n.selector())),
    ("ltr", false, |x, n| helper::ltr(x, n.selector())),
    ("verr", false, |x, n| helper::verify(x, n.selector(), n.chance(2)).map(|_| ())),
    ("lar", false, |x, n| helper::look(x, n.selector(), n.chance(2)).map(|_| ())),
    ("cr", false, |x, n| {
        let v = if n.chance(2) { x.cpu.cr0 ^ 1 << n.below(64) } else { n.word() };
        helper::mov_to_cr(x, n.below(9) as u8, v)
    }),
    ("from cr", false, |x, n| helper::mov_from_cr(x, n.below(16) as u8).map(|_| ())),
    ("dr", false, |x, n| helper::mov_to_dr(x, n.below(8) as u8, n.word())),
    ("lmsw", false, |x, n| helper::lmsw(x, n.next() as u16)),
    ("wrmsr", false, |x, n| {
        x.cpu.gpr[1] = [n.below(0x500), 0xc000_0080 + n.below(0x90), n.word()][n.below(3) as usize];
        helper::wrmsr(x)
    }),
    ("rdmsr", false, |x, n| {
        x.cpu.gpr[1] = [n.below(0x500), 0xc000_0080 + n.below(0x90), n.word()][n.below(3) as usize];
        helper::rdmsr(x)
    }),
    ("syscall", false, |x, _| helper::syscall(x, 5)),
    ("sysret", false, |x, n| helper::sysret(x, n.chance(2))),
    ("sysenter", false, |x, _| helper::sysenter(x)),
    ("sysexit", false, |x, n| helper::sysexit(x, n.chance(2))),
    ("popf", false, |x, n| helper::popf(x, n.next(), [2, 4, 8][n.below(3) as usize])),
    ("pushf", false, |x, n| helper::pushf(x, [2, 4][n.below(2) as usize]).map(|_| ())),
    ("sti", false, |x, _| helper::sti(x)),
    ("cli", false, |x, _| helper::cli(x)),
    ("io", false, |x, n| helper::check_io(x, n.next() as u16, [1, 2, 4][n.below(3) as usize])),
    ("lgdt", false, |x, n| helper::lgdt(x, n.word(), 0xffff)),
    ("invpcid", false, |x, n| helper::invpcid(x, n.below(5), n.word(), n.word())),
    ("xsetbv", false, |x, n| {
        (x.cpu.gpr[0], x.cpu.gpr[1], x.cpu.gpr[2]) = (n.below(8), n.below(2), 0);
        helper::xsetbv(x)
    }),
    ("cpuid", false, |x, n| {
        x.cpu.gpr[0] = [n.below(0x20), 0x8000_0000 + n.below(0x10), n.word()][n.below(3) as usize];
        helper::cpuid(x)
    }),
    ("load", false, |x, n| {
        let seg = [Seg::Es, Seg::Cs, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs][n.below(6) as usize];
        let len = [1, 2, 4, 8, 10, 16][n.below(6) as usize];
        let offset = if x.cpu.is_64() { n.word() } else { n.word() & 0xffff_ffff };
        let at = x.linear(seg, offset, len, Access::Read)?;
        let mut b = [0; 16];
        x.load_bytes(at, &mut b[..len as usize])
    }),
    ("store", false, |x, n| {
        let seg = [Seg::Es, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs][n.below(5) as usize];
        let len = [1, 2, 4, 8, 10, 16][n.below(6) as usize];
        let offset = if x.cpu.is_64() { n.word() } else { n.word() & 0xffff_ffff };
        let at = x.linear(seg, offset, len, Access::Write)?;
        x.store_bytes(at, &[0x5a; 16][..len as usize])
    }),
];

#[test]
fn faults_change_nothing_and_nothing_panics() {
    let mut n = Noise(0x1234_5678_9abc_def1);
    let rounds = if cfg!(debug_assertions) { 1500 } else { 6000 };
    let mut outcomes = vec![[0u32; 2]; CALLS.len()];
    for round in 0..rounds {
        let mut r = Rig::new(MODELS[round % MODELS.len()], 64);
        for _ in 0..20 {
            shuffle(&mut r, &mut n);
            let which = n.below(CALLS.len() as u64) as usize;
            let (name, tasks, call) = CALLS[which];
            let mut x = r.exec();
            let mut before = x.cpu.clone();
            let result = call(&mut x, &mut n);
            outcomes[which][usize::from(result.is_ok())] += 1;
            if result.is_ok() {
                continue;
            }
            let switched = tasks && x.cpu.tr != before.tr;
            before.nmi_blocked = x.cpu.nmi_blocked;
            before.pending_debug = x.cpu.pending_debug;
            before.gpr[0] = x.cpu.gpr[0];
            before.gpr[1] = x.cpu.gpr[1];
            before.gpr[2] = x.cpu.gpr[2];
            assert!(switched || *x.cpu == before, "{name} in round {round}: {result:?}");
        }
    }
    // The noise reaches both outcomes of nearly everything.
    for ((name, ..), [faults, done]) in CALLS.iter().zip(&outcomes) {
        assert!(*done > 0, "{name} never succeeded");
        let harmless = matches!(*name, "icebp" | "cpuid");
        assert!(*faults > 0 || harmless, "{name} never faulted");
    }
}

/// Delivery of any event in any state ends in a handler or in shutdown.
#[test]
fn delivery_always_ends() {
    let mut n = Noise(0x0fed_cba9_8765_4321);
    let rounds = if cfg!(debug_assertions) { 2000 } else { 8000 };
    let (mut handled, mut shut) = (0, 0);
    for round in 0..rounds {
        let mut r = Rig::new(MODELS[round % MODELS.len()], 64);
        for _ in 0..8 {
            shuffle(&mut r, &mut n);
            let mut x = r.exec();
            let before = x.count;
            let ended = match n.below(4) {
                0 => helper::deliver_interrupt(&mut x, n.next() as u8),
                1 => helper::deliver_nmi(&mut x),
                2 => helper::deliver_fault(&mut x, Fault::pf(n.word(), n.below(32) as u32)),
                _ => {
                    let v = n.below(20) as u8;
                    helper::deliver_fault(&mut x, Fault { vector: v, code: Some(0), info: 0 })
                }
            };
            assert_eq!(x.count, before + 1);
            if ended.is_ok() {
                handled += 1;
            } else {
                shut += 1;
            }
        }
    }
    assert!(handled > 1000 && shut > 100, "{handled} {shut}");
}
