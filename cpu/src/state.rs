//! The processor's saved state: everything that a guest can see or that decides what happens next, and nothing derived.
//! Follows Intel SDM volume 1 chapter 3 (registers) and volume 3 chapters 2 (system registers), 9.1 (reset values).
//!
//! Not here: TLB and decoded blocks ([`crate::derived`]), the local APIC (a chip).

use crate::model::CpuModel;
use serde::{Deserialize, Serialize};

/// Bits of RFLAGS.
#[allow(missing_docs)]
pub mod flag {
    pub const CF: u64 = 1 << 0;
    pub const ONE: u64 = 1 << 1;
    pub const PF: u64 = 1 << 2;
    pub const AF: u64 = 1 << 4;
    pub const ZF: u64 = 1 << 6;
    pub const SF: u64 = 1 << 7;
    pub const TF: u64 = 1 << 8;
    pub const IF: u64 = 1 << 9;
    pub const DF: u64 = 1 << 10;
    pub const OF: u64 = 1 << 11;
    pub const IOPL: u64 = 3 << 12;
    pub const NT: u64 = 1 << 14;
    pub const RF: u64 = 1 << 16;
    pub const VM: u64 = 1 << 17;
    pub const AC: u64 = 1 << 18;
    pub const VIF: u64 = 1 << 19;
    pub const VIP: u64 = 1 << 20;
    pub const ID: u64 = 1 << 21;
    /// The six flags that arithmetic sets.
    pub const STATUS: u64 = CF | PF | AF | ZF | SF | OF;
}

/// Bits of CR0.
#[allow(missing_docs)]
pub mod cr0 {
    pub const PE: u64 = 1 << 0;
    pub const MP: u64 = 1 << 1;
    pub const EM: u64 = 1 << 2;
    pub const TS: u64 = 1 << 3;
    pub const ET: u64 = 1 << 4;
    pub const NE: u64 = 1 << 5;
    pub const WP: u64 = 1 << 16;
    pub const AM: u64 = 1 << 18;
    pub const NW: u64 = 1 << 29;
    pub const CD: u64 = 1 << 30;
    pub const PG: u64 = 1 << 31;
}

/// Bits of CR4.
#[allow(missing_docs)]
pub mod cr4 {
    pub const VME: u64 = 1 << 0;
    pub const PVI: u64 = 1 << 1;
    pub const TSD: u64 = 1 << 2;
    pub const DE: u64 = 1 << 3;
    pub const PSE: u64 = 1 << 4;
    pub const PAE: u64 = 1 << 5;
    pub const MCE: u64 = 1 << 6;
    pub const PGE: u64 = 1 << 7;
    pub const PCE: u64 = 1 << 8;
    pub const OSFXSR: u64 = 1 << 9;
    pub const OSXMMEXCPT: u64 = 1 << 10;
    pub const UMIP: u64 = 1 << 11;
    pub const LA57: u64 = 1 << 12;
    pub const VMXE: u64 = 1 << 13;
    pub const SMXE: u64 = 1 << 14;
    pub const FSGSBASE: u64 = 1 << 16;
    pub const PCIDE: u64 = 1 << 17;
    pub const OSXSAVE: u64 = 1 << 18;
    pub const SMEP: u64 = 1 << 20;
    pub const SMAP: u64 = 1 << 21;
}

/// Bits of IA32_EFER.
#[allow(missing_docs)]
pub mod efer {
    pub const SCE: u64 = 1 << 0;
    pub const LME: u64 = 1 << 8;
    pub const LMA: u64 = 1 << 10;
    pub const NXE: u64 = 1 << 11;
}

/// Index of a general register in [`Cpu::gpr`] (the encoding's own numbers).
#[allow(missing_docs)]
pub mod gpr {
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
}

/// The six segment registers, numbered as in the encoding.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Seg {
    Es = 0,
    Cs = 1,
    Ss = 2,
    Ds = 3,
    Fs = 4,
    Gs = 5,
}

/// A segment register (or LDTR, TR) with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Segment {
    /// Base, as linear address.
    pub base: u64,
    /// Limit in bytes, granularity already applied: the last valid offset (for expand-down: the last invalid one).
    pub limit: u32,
    /// Attribute bits as in bits 8-23 of a descriptor's second word, limit bits zero: type 3:0, S 4, DPL 6:5, P 7,
    /// AVL 12, L 13, D/B 14, G 15. The bits of [`attr`].
    pub attr: u16,
    /// The visible selector.
    pub selector: u16,
}

/// Bits of [`Segment::attr`].
#[allow(missing_docs)]
pub mod attr {
    pub const ACCESSED: u16 = 1 << 0;
    /// Data: writable. Code: readable.
    pub const RW: u16 = 1 << 1;
    /// Data: expand-down. Code: conforming.
    pub const DC: u16 = 1 << 2;
    pub const CODE: u16 = 1 << 3;
    pub const S: u16 = 1 << 4;
    pub const DPL: u16 = 3 << 5;
    pub const P: u16 = 1 << 7;
    pub const L: u16 = 1 << 13;
    pub const DB: u16 = 1 << 14;
    pub const G: u16 = 1 << 15;
    /// Loaded with a null selector in protected or long mode: any access raises #GP. Not an architectural bit
    /// (bit 8 of the hidden part, free there).
    pub const UNUSABLE: u16 = 1 << 8;
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReg {
    /// Linear base.
    pub base: u64,
    /// Last valid byte offset.
    pub limit: u16,
}

/// A 256-bit vector register as four 64-bit words, low first; XMM is the low two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C, align(32))]
pub struct Vreg(pub [u64; 4]);

/// An 80-bit x87 register: value = significand and sign+exponent word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct F80 {
    /// 64-bit significand with explicit integer bit; also the MMX register.
    pub mant: u64,
    /// Bit 15 the sign, bits 14:0 the biased exponent.
    pub se: u16,
}

/// The x87 unit (SDM volume 1, chapter 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Fpu {
    /// Physical registers R0-R7 (ST(i) is R((TOP + i) mod 8)).
    pub regs: [F80; 8],
    // The order of the next six keeps what every instruction reads (control word, status word, tags) out of the aligned
    // words of what it writes: a load that spans two younger stores waits for both.
    #[allow(missing_docs)]
    pub fcs: u16,
    /// Status word, TOP in bits 13:11.
    pub sw: u16,
    #[allow(missing_docs)]
    pub fds: u16,
    /// Control word.
    pub cw: u16,
    /// Last opcode, 11 bits.
    pub fop: u16,
    /// Abridged tag word as in FXSAVE: bit i set = R(i) holds something.
    pub tag: u8,
    /// Last instruction's address; its selector is `fcs`.
    pub fip: u64,
    /// Last operand's address; its selector is `fds`.
    pub fdp: u64,
}

impl Default for Fpu {
    /// After FNINIT.
    fn default() -> Fpu {
        Fpu { regs: [F80::default(); 8], cw: 0x37f, sw: 0, tag: 0, fop: 0, fip: 0, fcs: 0, fdp: 0, fds: 0 }
    }
}

/// Model-specific registers that are state of their own (names of SDM volume 4).
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msrs {
    pub efer: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub fmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    pub pat: u64,
    pub tsc_offset: u64,
    pub tsc_aux: u64,
    pub misc_enable: u64,
    pub spec_ctrl: u64,
    pub mtrr_def_type: u64,
    pub mtrr_fixed: [u64; 11],
    pub mtrr_phys: [u64; 16],
    pub mcg_status: u64,
    pub mcg_ctl: u64,
    pub mc: [[u64; 4]; 4],
    pub debugctl: u64,
    pub xss: u64,
    pub bios_sign_id: u64,
}

/// Whether the processor executes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executing.
    #[default]
    Running,
    /// In HLT.
    Halted,
    /// After a triple fault.
    Shutdown,
    /// An application processor waiting for its start-up IPI.
    WaitForSipi,
}

/// What blocks interrupts for one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shadow {
    /// Nothing.
    #[default]
    None,
    /// After an STI that set IF.
    Sti,
    /// After MOV SS or POP SS: debug exceptions wait too.
    MovSs,
}

/// One processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Cpu {
    /// General registers in the encoding's order.
    pub gpr: [u64; 16],
    /// Working memory of the translator. Not state: never saved, equal to any other. Here because translated code
    /// reaches the registers and the start of this by one pointer with short displacements.
    #[serde(skip)]
    pub scratch: crate::jit::regs::Hidden,
    /// Instruction pointer (an offset in CS; truncated to IP or EIP as the mode asks).
    pub rip: u64,
    /// RFLAGS, exact between instructions.
    pub rflags: u64,
    /// ES CS SS DS FS GS.
    pub seg: [Segment; 6],
    #[allow(missing_docs)]
    pub ldtr: Segment,
    #[allow(missing_docs)]
    pub tr: Segment,
    #[allow(missing_docs)]
    pub gdtr: TableReg,
    #[allow(missing_docs)]
    pub idtr: TableReg,
    #[allow(missing_docs)]
    pub cr0: u64,
    #[allow(missing_docs)]
    pub cr2: u64,
    #[allow(missing_docs)]
    pub cr3: u64,
    #[allow(missing_docs)]
    pub cr4: u64,
    #[allow(missing_docs)]
    pub xcr0: u64,
    /// The four PAE page-directory-pointer entries, loaded with CR3.
    pub pdpte: [u64; 4],
    /// DR0-DR3.
    pub dr: [u64; 4],
    #[allow(missing_docs)]
    pub dr6: u64,
    #[allow(missing_docs)]
    pub dr7: u64,
    /// Current privilege level (equals SS.DPL in protected mode; 3 in V86, 0 in real mode).
    pub cpl: u8,
    #[allow(missing_docs)]
    pub msr: Msrs,
    #[allow(missing_docs)]
    pub fpu: Fpu,
    /// YMM0-15; XMM in the low halves.
    pub vec: [Vreg; 16],
    #[allow(missing_docs)]
    pub mxcsr: u32,

    // Interrupt-related state.
    #[allow(missing_docs)]
    pub activity: Activity,
    #[allow(missing_docs)]
    pub shadow: Shadow,
    /// NMIs wait for the next IRET.
    pub nmi_blocked: bool,
    /// The INTR line, as the machine last set it.
    pub intr: bool,
    /// An NMI is latched.
    pub nmi_pending: bool,
    /// An SMI is latched.
    pub smi_pending: bool,
    /// DR6 bits of data breakpoints and the like that wait for the instruction's end.
    pub pending_debug: u64,
    /// The x87 unit has raised an error that waits to be reported with CR0.NE = 0 (the FERR# line).
    pub ferr: bool,
    /// In system-management mode.
    pub smm: bool,
    #[allow(missing_docs)]
    pub smbase: u32,

    /// Seed of RDRAND and RDSEED: configuration, saved so that a snapshot goes on alike.
    pub seed: u64,
    /// Position of this processor in the machine.
    pub index: usize,
    /// What it claims to be: configuration, saved so that a snapshot explains itself.
    pub model: CpuModel,
}
