//! Where guest registers live in translated code, and the processor fields that it reaches through RBP.

use super::encode::{Mem, R};
use crate::state::Cpu;
use std::mem::offset_of;

/// RBP: the processor ([`Cpu`]), [`BIAS`] bytes from its start.
pub const STATE: R = R::RBP;
/// A displacement of one byte reaches 128 bytes below RBP, where the general registers are, and as many above it: the
/// first fields of [`Scratch`].
pub const BIAS: i32 = 128;

/// The processor's field at an offset.
pub fn state(offset: usize) -> Mem {
    Mem::at(STATE, offset as i32 - BIAS)
}

const _: () = assert!(offset_of!(Cpu, scratch) == BIAS as usize);
/// R8: the TLB's table in use, as [`crate::mmu::Tlb::table_in_use`] gives it.
pub const TABLE: R = R::R8;

/// Host register of each guest register in 64-bit code; `None`: in memory. Most keep their number, so that implicit
/// operands (CL, RDX:RAX) and AH-BH come for free.
const MAP64: [Option<R>; 16] = [
    Some(R::RAX),
    Some(R::RCX),
    Some(R::RDX),
    Some(R::RBX),
    Some(R::R12),
    Some(R::R13),
    Some(R::RSI),
    Some(R::RDI),
    None,
    None,
    None,
    None,
    Some(R::R10),
    Some(R::R9),
    None,
    None,
];

/// The same in 16- and 32-bit code, which has eight registers.
const MAP32: [Option<R>; 16] = {
    let mut m = MAP64;
    m[12] = None;
    m[13] = None;
    m
};

/// Host registers free for temporaries.
const TEMPS64: u16 = 1 << 11 | 1 << 14 | 1 << 15;
const TEMPS32: u16 = TEMPS64 | 1 << 9 | 1 << 10;

/// The register convention of one kind of code.
#[derive(Clone, Copy)]
pub struct Convention {
    /// Host register of each guest register.
    pub map: [Option<R>; 16],
    /// Bit mask of temporaries.
    pub temps: u16,
}

/// The convention of 64-bit code, or of all other.
pub fn convention(long: bool) -> Convention {
    if long { Convention { map: MAP64, temps: TEMPS64 } } else { Convention { map: MAP32, temps: TEMPS32 } }
}

/// Host vector register of guest vector register `r`, which has the same number; `None`: in memory.
pub fn vector_home(long: bool, r: u8) -> Option<u8> {
    (r < if long { 14 } else { 8 }).then_some(r)
}

/// Host vector registers free for temporaries.
pub fn vector_temps(long: bool) -> u16 {
    if long { 0xc000 } else { 0xff00 }
}

/// Slots for [`super::groups`].
pub const GROUPS: usize = super::groups::SLOTS;

/// Bytes that accesses to the stack ask for at most, in classes: those of each go by a limit of their own.
pub const STACK_SPANS: [i32; 3] = [8, 32, 128];

/// Operands of a recipe that may be held in memory.
pub const HELD_SLOTS: usize = 2;

/// Number of guesses.
pub const GUESSES: usize = 32;

/// Number of spill slots.
pub const SLOTS: usize = 8;

/// What translated code keeps beside the processor's state, at fixed offsets from it. Not state: never saved, never
/// compared. What hot code reaches most often stands first: see [`BIAS`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Scratch {
    /// Instructions left in this run; negative ends it.
    pub budget: i64,
    /// RIP of byte 0 of the running page.
    pub page_rip: u64,
    /// Address space and mode, as the jump cache's entries name them.
    pub space: u64,
    /// Jump cache.
    pub jumps: u64,
    /// Status flags: byte 0 is OF, byte 1 is as LAHF stores it.
    pub flags: u64,
    /// How the status flags are made where `flags` does not hold them: see [`super::lower::Recipe`]. Zero: it does.
    pub recipe: u64,
    /// Operands of the recipe that are in no register: they came from memory, or their register has changed since.
    pub held: [u64; HELD_SLOTS],
    /// Whether the host's x87 unit holds the guest's state.
    pub fpu_on: u32,
    /// Whether the host's vector registers and MXCSR are the guest's.
    pub vec_on: u32,
    /// The page of the stack, if translated code may load from it and store to it directly. It is so as long as
    /// `stack_limits` are not zero.
    pub stack_page: u64,
    /// What to add to linear addresses there to have the host's.
    pub stack_delta: u64,
    /// For each of [`STACK_SPANS`]: offsets in that page below these leave room for so many bytes.
    pub stack_limits: [u64; STACK_SPANS.len()],
    /// What to add to linear addresses in groups' pages to have the host's.
    pub groups: [u64; GROUPS],
    /// `held` while the interpreter runs the instruction that changes the register.
    pub held_next: [u64; HELD_SLOTS],
    /// Whether some of the running page lies outside the code segment.
    pub page_partly: u64,
    /// How far the next byte of a string is: 1, or -1 if DF is set.
    pub direction: i64,
    /// What to add to linear addresses to have the host's, where that was so the last time.
    pub guesses: [u64; GUESSES],
    /// Guesses that may still fail until it is noted which block's did.
    pub strays: i64,
    /// That block, or all ones.
    pub strayed: u64,
    /// Whether a debugger asks for events.
    pub events: u64,
    /// The [`super::Jit`] and the [`crate::interp::blocks::Blocks`] at work, while translated code runs.
    pub engine: [u64; 2],
    /// Jumps to other pages that may still miss their space before one is linked anew: see [`super::RELINK`].
    pub relink: i64,
    /// Bit 0: whether the last product was too long.
    pub product: u64,
    /// Offset in the page where control left, or the whole RIP.
    pub exit_rip: u64,
    /// Which link left, for patching.
    pub link: u64,
    /// Linear address of a translation miss.
    pub fill: u64,
    /// The block, if one was left because a group's leader failed that the interpreter doesn't run from there; else all ones.
    pub missed: u64,
    /// The segments loaded last: [`super::SegmentEntry`].
    pub segments: u64,
    /// The pages that were last found not to be plain memory, for loads and for stores: there the interpreter runs the
    /// instruction without another look, and finds out itself if that has changed. 1: none.
    pub unserved: [u64; 2],
    /// Spilled temporaries.
    pub slots: [u64; SLOTS],
    /// Vector operands and result of a call.
    pub vec: [u64; 6],
    /// The running [`crate::Exec`], erased.
    pub exec: u64,
    /// Table of the TLB in use, for [`TABLE`].
    pub tlb: u64,
    /// The table, and [`crate::mmu::Tlb::withdrawn`], when the stack's page was last known to be good.
    pub stack_known: [u64; 2],
    /// The running code's [`crate::insn::ModeKey`].
    pub key: u32,
    /// Offsets below these may be read through a segment register (zero: never directly).
    pub read_limit: [u64; 6],
    /// The same for writing.
    pub write_limit: [u64; 6],
    /// What these two were made from.
    pub prepared: [u64; 6],
    /// Last valid IP.
    pub code_limit: u64,
    /// MXCSR of the host while outside, and of the guest inside.
    pub host_mxcsr: u32,
    /// Host vector registers that hold temporaries, while Rust runs.
    pub vec_temps: [u64; 32],
    /// Offset of the x87 operand at hand.
    pub operand: u64,
    /// Image for FRSTOR and of FNSAVE.
    pub fpu_image: [u8; crate::fpu::image::HOST_IMAGE],
    /// What a transcendental takes from the unit and gives back.
    pub exchange: super::transcendental::Exchange,
    /// Virtual time is `clock_base` nanoseconds where the budget is `clock_budget`, and `clock_rate` (32.32) later with
    /// each instruction: see [`crate::Clock`].
    pub clock_base: u64,
    #[allow(missing_docs)]
    pub clock_budget: u64,
    #[allow(missing_docs)]
    pub clock_rate: u64,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            budget: 0,
            tlb: 0,
            page_rip: 0,
            page_partly: 0,
            direction: 1,
            events: 0,
            flags: 0,
            recipe: 0,
            held: [0; HELD_SLOTS],
            held_next: [0; HELD_SLOTS],
            engine: [0; 2],
            relink: super::RELINK,
            product: 0,
            exit_rip: 0,
            link: 0,
            fill: 0,
            unserved: [1; 2],
            missed: u64::MAX,
            segments: 0,
            slots: [0; SLOTS],
            stack_page: 0,
            stack_delta: 0,
            stack_limits: [0; STACK_SPANS.len()],
            stack_known: [0; 2],
            groups: [0; GROUPS],
            vec: [0; 6],
            exec: 0,
            guesses: [0; GUESSES],
            strays: super::STRAYS,
            strayed: u64::MAX,
            jumps: 0,
            space: 0,
            key: 0,
            read_limit: [0; 6],
            write_limit: [0; 6],
            prepared: [0; 6],
            code_limit: 0,
            host_mxcsr: 0x1f80,
            vec_temps: [0; 32],
            operand: 0,
            fpu_image: [0; crate::fpu::image::HOST_IMAGE],
            exchange: Default::default(),
            fpu_on: 0,
            vec_on: 0,
            clock_base: 0,
            clock_budget: 0,
            clock_rate: 0,
        }
    }
}

/// [`Scratch`] as a field of [`Cpu`]: equal to any other, saved as nothing.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Hidden(pub Scratch);

impl PartialEq for Hidden {
    fn eq(&self, _: &Hidden) -> bool {
        true
    }
}
impl Eq for Hidden {}

/// A field of the scratch area as a memory operand.
macro_rules! scratch {
    ($($field:ident),* $(,)?) => { $(
        #[allow(missing_docs)]
        pub fn $field() -> Mem {
            state(offset_of!(Cpu, scratch) + offset_of!(Scratch, $field))
        }
    )* };
}

/// Memory operands of state fields.
pub mod field {
    use super::*;
    scratch!(
        budget,
        tlb,
        page_rip,
        page_partly,
        direction,
        events,
        key,
        missed,
        strays,
        strayed,
        segments,
        prepared,
        flags,
        recipe,
        exit_rip,
        link,
        fill,
        exec,
        jumps,
        space,
        read_limit,
        write_limit,
        code_limit,
        host_mxcsr,
        vec_temps,
        operand,
        fpu_image,
        exchange,
        fpu_on,
        vec_on,
        slots,
        groups,
        stack_page,
        stack_delta,
        stack_limits,
        vec,
        clock_base,
        clock_budget,
        clock_rate
    );

    /// Guest register `r`.
    pub fn gpr(r: u8) -> Mem {
        state(offset_of!(Cpu, gpr) + 8 * usize::from(r))
    }
    /// RFLAGS; its status flags are stale in translated code.
    pub fn rflags() -> Mem {
        state(offset_of!(Cpu, rflags))
    }
    /// One byte: whether the interrupt line is up.
    pub fn intr() -> Mem {
        state(offset_of!(Cpu, intr))
    }
    /// One byte: whether NMIs wait for an IRET.
    pub fn nmi_blocked() -> Mem {
        state(offset_of!(Cpu, nmi_blocked))
    }
    /// GDTR's limit.
    pub fn gdt_limit() -> Mem {
        state(offset_of!(Cpu, gdtr) + offset_of!(crate::state::TableReg, limit))
    }
    /// GDTR's base.
    pub fn gdt_base() -> Mem {
        state(offset_of!(Cpu, gdtr) + offset_of!(crate::state::TableReg, base))
    }
    /// IDTR's limit.
    pub fn idt_limit() -> Mem {
        state(offset_of!(Cpu, idtr) + offset_of!(crate::state::TableReg, limit))
    }
    /// IDTR's base.
    pub fn idt_base() -> Mem {
        state(offset_of!(Cpu, idtr) + offset_of!(crate::state::TableReg, base))
    }
    /// What SWAPGS exchanges the base of GS with.
    pub fn kernel_gs_base() -> Mem {
        state(offset_of!(Cpu, msr) + offset_of!(crate::state::Msrs, kernel_gs_base))
    }
    /// What WRMSR has added to the time-stamp counter.
    pub fn tsc_offset() -> Mem {
        state(offset_of!(Cpu, msr) + offset_of!(crate::state::Msrs, tsc_offset))
    }
    /// What RDTSCP puts into ECX.
    pub fn tsc_aux() -> Mem {
        state(offset_of!(Cpu, msr) + offset_of!(crate::state::Msrs, tsc_aux))
    }
    /// CR4.
    pub fn cr4() -> Mem {
        state(offset_of!(Cpu, cr4))
    }
    /// XMM register `r`.
    pub fn xmm(r: u8) -> Mem {
        state(offset_of!(Cpu, vec) + 32 * usize::from(r))
    }
    /// The page that is known not to be plain memory, for loads (0) or stores (1).
    pub fn unserved(write: usize) -> Mem {
        slot_of(offset_of!(Scratch, unserved), write as u8)
    }
    /// Slot `n` for an operand of a recipe.
    pub fn held(n: u8) -> Mem {
        slot_of(offset_of!(Scratch, held), n)
    }
    /// Guess `n`.
    pub fn guess(n: usize) -> Mem {
        slot_of(offset_of!(Scratch, guesses), n as u8)
    }
    /// Misses until a jump is linked anew.
    pub fn relink() -> Mem {
        state(offset_of!(Cpu, scratch) + offset_of!(Scratch, relink))
    }
    /// Whether the last product was too long: a byte.
    pub fn product() -> Mem {
        state(offset_of!(Cpu, scratch) + offset_of!(Scratch, product))
    }
    /// [`Scratch::held`] while the interpreter runs an instruction.
    pub fn held_next(n: u8) -> Mem {
        slot_of(offset_of!(Scratch, held_next), n)
    }
    fn slot_of(at: usize, n: u8) -> Mem {
        state(offset_of!(Cpu, scratch) + at + 8 * usize::from(n))
    }
    /// Spill slot `n`.
    pub fn slot(n: u8) -> Mem {
        plus(slots(), 8 * i32::from(n))
    }
    /// Delta of a group's page.
    pub fn group(n: u8) -> Mem {
        plus(groups(), 8 * i32::from(n))
    }
    /// The stack's limit for class `k` of [`STACK_SPANS`].
    pub fn stack_limit(k: usize) -> Mem {
        plus(stack_limits(), 8 * k as i32)
    }
    /// Selector of segment `s`.
    pub fn selector(s: u8) -> Mem {
        let base = seg_base(s);
        let from = offset_of!(crate::state::Segment, base) as i32;
        Mem { disp: base.disp - from + offset_of!(crate::state::Segment, selector) as i32, ..base }
    }
    /// Limit of segment `s`.
    pub fn seg_limit(s: u8) -> Mem {
        plus(
            seg_base(s),
            (offset_of!(crate::state::Segment, limit) - offset_of!(crate::state::Segment, base)) as i32,
        )
    }
    /// Attributes of segment `s`.
    pub fn seg_attr(s: u8) -> Mem {
        plus(
            seg_base(s),
            offset_of!(crate::state::Segment, attr) as i32 - offset_of!(crate::state::Segment, base) as i32,
        )
    }
    /// Base of segment `s`.
    pub fn seg_base(s: u8) -> Mem {
        let size = size_of::<crate::state::Segment>();
        state(offset_of!(Cpu, seg) + size * usize::from(s) + offset_of!(crate::state::Segment, base))
    }
    /// An operand `n` bytes further.
    pub fn plus(m: Mem, n: i32) -> Mem {
        Mem { disp: m.disp + n, ..m }
    }
}
