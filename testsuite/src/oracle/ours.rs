//! The same few bytes on our engines: a processor in long mode, with the arena's pages at the same addresses as on the
//! host, segments as Linux has them, and handlers in the high half that halt.

use super::state::{CODE, CS32, CS64, DATA, DATA_LEN, Ending, FIXED, KERNEL, SS, State};
use crate::rig::Rig;
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::exec::Stop;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{Activity, Segment, Shadow, TableReg, attr, cr0, cr4, efer, gpr};

/// All instruction sets that this version has and Linux lets a program use.
pub const MODEL: &str = "x86-64-v2,+movbe,+pclmulqdq,+aes,+sha";

/// Linear address of physical address 0, for the supervisor.
const HIGH: u64 = 0xffff_8000_0000_0000;
/// Physical addresses of tables and pages.
const PML4: u64 = 0x1000;
const GDT: u64 = 0x8000;
const TSS: u64 = 0x9000;
const IDT: u64 = 0xa000;
const HANDLERS: u64 = 0xc000;
const STACK: u64 = 0x1_0000;
const CODE_AT: u64 = 0x2_0000;
/// Not side by side: who takes both for one page is found out.
const DATA_AT: [u64; 2] = [0x2_1000, 0x2_4000];
const FIXED_AT: u64 = 0x2_3000;

/// What is wrong with memory during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Present and writable bits of the two pages of data.
    pub pages: [u64; 2],
    /// Limit of the data and stack segments (in 32-bit code).
    pub limit: u32,
    /// Whether they expand down: what is above the limit may be accessed.
    pub down: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup { pages: [3, 3], limit: !0, down: false }
    }
}

/// One of our engines, ready to run code.
pub struct Ours {
    setup: Setup,
    /// How often a case is run; the last run counts.
    pub times: usize,
    rig: Rig,
    code: [u8; 4096],
}

/// How often code must run before the translator surely has it.
const WARM: usize = 40;
/// How often one that translates at once runs a case: when it has translated it, and when it finds it.
const EAGER: usize = 2;

impl Ours {
    /// A processor for an engine, whose translator waits until code is warm.
    pub fn new(engine: Engine) -> Result<Ours, String> {
        let rig = Rig::new(CpuModel::parse(MODEL)?, 1 << 20, engine);
        Ok(Ours::of(rig, if engine == Engine::Translator { WARM } else { 1 }))
    }

    /// A processor for an engine, whose translator does not wait.
    pub fn eager(engine: Engine) -> Result<Ours, String> {
        let rig = Rig::eager(CpuModel::parse(MODEL)?, 1 << 20, engine);
        Ok(Ours::of(rig, if engine == Engine::Translator { EAGER } else { 1 }))
    }

    /// The same with a translator that uses none of the host's undefined flags.
    pub fn own_flags() -> Result<Ours, String> {
        let mut rig = Rig::new(CpuModel::parse(MODEL)?, 1 << 20, Engine::Translator);
        rig.derived = Derived::new(Engine::Translator).eager().own_flags();
        Ok(Ours::of(rig, EAGER))
    }

    fn of(mut rig: Rig, times: usize) -> Ours {
        let mut put = |at: u64, v: u64| rig.poke(at, &v.to_le_bytes());
        // User half: one table for the arena. Supervisor half: one large page.
        put(PML4, 0x2007);
        put(PML4 + 8 * 256, 0x5003);
        put(0x2000, 0x3007);
        put(0x3000 + (CODE >> 21) * 8, 0x4007);
        let no_execute = 1u64 << 63;
        let page = |linear: u64| 0x4000 + (linear >> 12 & 0x1ff) * 8;
        put(page(CODE), CODE_AT | 7);
        put(page(DATA), DATA_AT[0] | 7 | no_execute);
        put(page(DATA + 0x1000), DATA_AT[1] | 7 | no_execute);
        put(page(FIXED), FIXED_AT | 5 | no_execute);
        put(0x5000, 0x6003);
        put(0x6000, 0x83);
        for v in 0..32u64 {
            let handler = HIGH + HANDLERS + 16 * v;
            let dpl = if v == 3 || v == 4 { 3 << 45 } else { 0 };
            put(
                IDT + 16 * v,
                handler & 0xffff | 0x10 << 16 | 0x8e00 << 32 | dpl | (handler >> 16 & 0xffff) << 48,
            );
            put(IDT + 16 * v + 8, handler >> 32);
            put(HANDLERS + 16 * v, 0xf4);
        }
        put(GDT + 0x10, 0x00af_9b00_0000_ffff);
        put(GDT + 0x18, 0x00cf_9300_0000_ffff);
        put(GDT + 0x20, 0x00cf_fb00_0000_ffff);
        put(GDT + 0x28, 0x00cf_f300_0000_ffff);
        put(GDT + 0x30, 0x00af_fb00_0000_ffff);
        put(TSS + 4, HIGH + STACK);
        // No I/O permission map.
        put(TSS + 0x60, 0xffff << 48);
        let c = &mut rig.cpu;
        c.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::AM | cr0::PG;
        c.cr3 = PML4;
        c.cr4 = cr4::PAE | cr4::PGE | cr4::OSFXSR | cr4::OSXMMEXCPT;
        c.msr.efer = efer::LME | efer::LMA | efer::SCE | efer::NXE;
        c.gdtr = TableReg { base: HIGH + GDT, limit: 0x37 };
        c.idtr = TableReg { base: HIGH + IDT, limit: 0x1ff };
        c.tr = Segment { base: HIGH + TSS, limit: 0x67, attr: attr::P | 0xb, selector: 0x40 };
        rig.poke(CODE_AT, &[0xcc; 4096]);
        Ours { setup: Setup::default(), times, rig, code: [0xcc; 4096] }
    }

    /// Spoils memory, or makes it whole again.
    pub fn set_up(&mut self, setup: Setup) {
        for (n, bits) in setup.pages.into_iter().enumerate() {
            if bits != self.setup.pages[n] {
                let at = 0x4000 + (DATA >> 12 & 0x1ff) * 8 + 8 * n as u64;
                let entry = DATA_AT[n] | 4 | bits | 1 << 63;
                self.rig.poke(at, &entry.to_le_bytes());
            }
        }
        self.setup = setup;
    }

    /// Puts bytes into the code page, and breakpoints everywhere else.
    pub fn place(&mut self, at: usize, bytes: &[u8]) {
        let mut page = [0xcc; 4096];
        page[at..at + bytes.len()].copy_from_slice(bytes);
        self.rig.poke(CODE_AT, &page);
        self.code = page;
    }

    /// Runs the code that was placed; `data` is memory before and after.
    pub fn run(&mut self, before: &State, wide: bool, data: &mut [u8]) -> Result<(State, Ending), String> {
        let times = self.times;
        let mut last = None;
        for _ in 0..times {
            self.load(before, wide);
            for (at, page) in DATA_AT.iter().zip(data.chunks(4096)) {
                self.rig.poke(*at, page);
            }
            if self.page(CODE_AT) != self.code {
                let code = self.code;
                self.rig.poke(CODE_AT, &code);
            }
            let stop = self.rig.run(1 << 16);
            if stop != Stop::Halted {
                return Err(format!("it ended with {stop:?} at {:x}", self.rig.cpu.rip));
            }
            let end = self.collect(before);
            last = Some(end);
        }
        for (at, page) in DATA_AT.iter().zip(data[..DATA_LEN].chunks_mut(4096)) {
            self.rig.mem.read_physical(*at, page);
        }
        last.ok_or_else(|| "never run".into())
    }

    fn page(&self, at: u64) -> [u8; 4096] {
        let mut b = [0; 4096];
        self.rig.mem.read_physical(at, &mut b);
        b
    }

    fn load(&mut self, before: &State, wide: bool) {
        let c = &mut self.rig.cpu;
        before.put(c);
        let data = attr::P | attr::S | attr::DPL | attr::RW | attr::ACCESSED | attr::G | attr::DB;
        let direction = if self.setup.down { attr::DC } else { 0 };
        let flat = Segment { base: 0, limit: self.setup.limit, attr: data | direction, selector: SS };
        let null = Segment { attr: attr::UNUSABLE, ..Segment::default() };
        let code = if wide {
            Segment { attr: data & !attr::DB | attr::CODE | attr::L, selector: CS64, ..flat }
        } else {
            Segment { attr: data | attr::CODE, selector: CS32, limit: !0, ..flat }
        };
        let other = if wide { null } else { flat };
        c.seg = [other, code, flat, other, null, null];
        c.cpl = 3;
        c.cr2 = 0;
        c.activity = Activity::Running;
        c.shadow = Shadow::None;
        c.pending_debug = 0;
        c.ferr = false;
    }

    /// Reads off the frame of the exception that ended the run.
    fn collect(&self, before: &State) -> (State, Ending) {
        let c = &self.rig.cpu;
        let vector = ((c.rip - HIGH - HANDLERS) / 16) as u8;
        let mut frame = c.gpr[gpr::RSP] - HIGH;
        let has_code = matches!(vector, 8 | 10..=14 | 17);
        let mut code = if has_code { self.rig.peek64(frame) as u32 } else { 0 };
        if vector == 14 && c.cr2 >= KERNEL {
            // Whether the supervisor's pages are there is not the host's to tell.
            code &= !1;
        }
        frame += if has_code { 8 } else { 0 };
        let at = |n: u64| self.rig.peek64(frame + 8 * n);
        let mut after = State { gpr: c.gpr, rip: at(0), rflags: at(2), ..before.clone() };
        after.gpr[gpr::RSP] = at(3);
        after.take(c);
        let address = if vector == 14 { c.cr2 } else { 0 };
        (after, Ending { vector, code, address })
    }
}
