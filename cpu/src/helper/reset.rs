//! State after power-up, RESET and INIT. Follows Intel SDM volume 3, section 10.1 (9.1 in older editions), table 10-1.

use crate::Cpu;
use crate::model::{CpuModel, Feature, Generation};
use crate::state::{Activity, F80, Fpu, Msrs, Seg, Segment, Shadow, TableReg, Vreg, attr, cr0, flag, gpr};

const DATA: u16 = attr::P | attr::S | attr::RW | attr::ACCESSED;

fn real(selector: u16, base: u64) -> Segment {
    Segment { base, limit: 0xffff, attr: DATA, selector }
}

fn fresh_msrs(model: &CpuModel, index: usize) -> Msrs {
    let _ = index;
    Msrs {
        efer: 0,
        star: 0,
        lstar: 0,
        cstar: 0,
        fmask: 0,
        kernel_gs_base: 0,
        sysenter_cs: 0,
        sysenter_esp: 0,
        sysenter_eip: 0,
        pat: 0x0007_0406_0007_0406,
        tsc_offset: 0,
        tsc_aux: 0,
        // Fast strings; no PEBS, no branch traces.
        misc_enable: 1 | 1 << 11 | 1 << 12,
        spec_ctrl: 0,
        mtrr_def_type: 0,
        mtrr_fixed: [0; 11],
        mtrr_phys: [0; 16],
        mcg_status: 0,
        mcg_ctl: 0,
        mc: [[0; 4]; 4],
        debugctl: 0,
        xss: 0,
        // A microcode revision in the upper half, as firmware leaves it.
        bios_sign_id: if model.generation >= Generation::P6 { 0x219 << 32 } else { 0 },
    }
}

impl Cpu {
    /// A processor after power-up.
    pub fn new(index: usize, model: CpuModel) -> Cpu {
        let msr = fresh_msrs(&model, index);
        let mut cpu = Cpu {
            gpr: [0; 16],
            rip: 0,
            rflags: flag::ONE,
            seg: [Segment::default(); 6],
            ldtr: Segment::default(),
            tr: Segment::default(),
            gdtr: TableReg::default(),
            idtr: TableReg::default(),
            cr0: 0,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            xcr0: 1,
            pdpte: [0; 4],
            dr: [0; 4],
            dr6: 0xffff_0ff0,
            dr7: 0x400,
            cpl: 0,
            msr,
            fpu: Fpu::default(),
            vec: [Vreg::default(); 16],
            mxcsr: 0x1f80,
            activity: Activity::Running,
            shadow: Shadow::None,
            nmi_blocked: false,
            intr: false,
            nmi_pending: false,
            smi_pending: false,
            pending_debug: 0,
            ferr: false,
            smm: false,
            smbase: 0x3_0000,
            seed: 0,
            index,
            model,
            scratch: Default::default(),
        };
        cpu.reset();
        cpu
    }

    /// RESET: everything as after power-up.
    pub fn reset(&mut self) {
        self.msr = fresh_msrs(&self.model, self.index);
        self.vec = [Vreg::default(); 16];
        self.mxcsr = 0x1f80;
        self.xcr0 = 1;
        // As after RESET, not FNINIT: the x87 holds zeros, control word 40h, all registers valid.
        self.fpu = Fpu { regs: [F80::default(); 8], cw: 0x40, sw: 0, tag: 0xff, ..Fpu::default() };
        self.smbase = 0x3_0000;
        self.cr0 = 0;
        self.ferr = false;
        self.init();
        self.cr0 = if self.model.generation >= Generation::I486 { cr0::CD | cr0::NW | cr0::ET } else { 0 };
        if self.model.generation == Generation::I386 {
            self.cr0 = cr0::ET;
        }
        if self.index != 0 {
            self.activity = Activity::WaitForSipi;
        }
    }

    /// INIT: as RESET, but x87, SSE, MSRs (but EFER) and the CD and NW bits of CR0 stay. INIT leaves SMM's base too.
    pub fn init(&mut self) {
        self.gpr = [0; 16];
        self.gpr[gpr::RDX] = u64::from(self.model.signature());
        self.rflags = flag::ONE;
        for s in &mut self.seg {
            *s = real(0, 0);
        }
        (self.seg[Seg::Cs as usize], self.rip) = match self.model.generation {
            Generation::I8086 => (real(0xffff, 0xf_fff0), 0),
            Generation::I286 => (real(0xf000, 0xff_0000), 0xfff0),
            _ => (real(0xf000, 0xffff_0000), 0xfff0),
        };
        self.gdtr = TableReg { base: 0, limit: 0xffff };
        self.idtr = TableReg {
            base: 0,
            limit: if self.model.generation == Generation::I8086 { 0x3ff } else { 0xffff },
        };
        self.ldtr = Segment { base: 0, limit: 0xffff, attr: attr::P | 2, selector: 0 };
        self.tr = Segment { base: 0, limit: 0xffff, attr: attr::P | 11, selector: 0 };
        self.cr0 = self.cr0 & (cr0::CD | cr0::NW)
            | if self.model.generation >= Generation::I386 { cr0::ET } else { 0 };
        (self.cr2, self.cr3, self.cr4) = (0, 0, 0);
        self.msr.efer = 0;
        self.pdpte = [0; 4];
        self.dr = [0; 4];
        self.dr6 = 0xffff_0ff0;
        self.dr7 = 0x400;
        self.cpl = 0;
        self.activity = if self.index == 0 { Activity::Running } else { Activity::WaitForSipi };
        self.shadow = Shadow::None;
        self.nmi_blocked = false;
        self.nmi_pending = false;
        self.smi_pending = false;
        self.pending_debug = 0;
        self.smm = false;
    }

    /// Memory types as firmware leaves them: write-back, but uncached from `hole` (a power of two's complement, below
    /// 4 GiB) to 4 GiB and in the VGA window, write-protected above it. For kernels that start without firmware.
    pub fn set_up_mtrrs(&mut self, hole: u32) {
        if !self.model.has(Feature::Mtrr) {
            return;
        }
        const WB: u64 = 0x0606_0606_0606_0606;
        const WP: u64 = 0x0505_0505_0505_0505;
        self.msr.mtrr_def_type = 0xc06;
        self.msr.mtrr_fixed = [WB, WB, 0, WP, WP, WP, WP, WP, WP, WP, WP];
        let width = (1u64 << self.model.phys_bits()) - 1;
        self.msr.mtrr_phys[0] = u64::from(hole);
        self.msr.mtrr_phys[1] = width & !0xffff_ffff | u64::from(hole) | 1 << 11;
    }

    /// A start-up IPI: a processor that waits for one begins in real mode at `page` << 12.
    pub fn start_up(&mut self, page: u8) {
        if self.activity == Activity::WaitForSipi {
            self.seg[Seg::Cs as usize] = real(u16::from(page) << 8, u64::from(page) << 12);
            self.rip = 0;
            self.activity = Activity::Running;
        }
    }

    /// Whether an instruction-set feature exists here.
    #[inline]
    pub fn has(&self, f: Feature) -> bool {
        self.model.has(f)
    }
}
