//! [`Ops`]: the small language in which the meaning of every instruction is written, once.
//!
//! A meaning (`crate::meaning`) is a function generic over `Ops`; what it computes with is opaque (`Ops::V`, `Ops::X`).
//! - `impl Ops for Direct` (`crate::interp`): a value is a `u64`; running the meaning *is* the interpreter.
//! - `impl Ops for Effects` (`crate::effects`): a value is nothing; running the meaning lists what is read and written.
//! - A translator's builder: a value is a temporary; running the meaning emits micro-operations.
//!
//! Rules that a meaning obeys, so that all of them can run it:
//! 1. It never branches on a guest *value*: only on what the [`Insn`] says (operands, widths, mode), which is known when
//!    the instruction is decoded. A choice by value is [`Ops::select`], [`Ops::branch`], an operation with the choice
//!    inside (shift by a count), or a [`Ops::call`].
//! 2. Phases: everything that can fault comes before everything that changes guest state. Loads and checks first, then
//!    stores, then registers and flags. A read-modify-write is one [`Ops::rmw`], checked as a write before it loads; its
//!    closure computes (and may set flags), the store behind it can't fail. An instruction with two stores checks the
//!    later one with [`Ops::check_store`] before the first.
//! 3. Values are zero-extended: `get`, `load`, `alu` and friends yield a value whose bits above the width are zero;
//!    `set` and `store` look at the low `w` bytes only.
//! 4. Widths are in bytes (1, 2, 4, 8). A 32-bit register write clears the upper half, 8- and 16-bit ones keep the rest.
//!
//! Status flags are not values: `alu`, `shift`, ... leave them in the flags unit, `cond` reads it. So an implementation
//! may keep them lazily, or in the host's own flags.
//!
//! How a meaning becomes code: each is a zero-sized type with [`Meaning::run`], made by the [`crate::meaning!`] macro;
//! `crate::meaning::select` maps a decoded instruction to its type and hands that to a [`Select`]or, which
//! monomorphizes `run` for the `Ops` it wants (see `crate::interp::Handler`).

use crate::{Exec, Fault, insn::Insn, state::flag};

/// Why a meaning stopped early. The fault itself waits in the implementation ([`Ops::raise`] put it there), so that
/// results stay as small as a register.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bail {
    /// The instruction raises a fault; nothing of it has happened.
    Fault = 1,
}

/// Result of a meaning.
pub type Done = Result<(), Bail>;

/// Two-operand arithmetic that sets all six status flags. Numbers are the encoding's own.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alu {
    Add = 0,
    /// Logic operations clear CF, OF and AF.
    Or = 1,
    Adc = 2,
    Sbb = 3,
    And = 4,
    Sub = 5,
    Xor = 6,
}

impl Alu {
    /// From the encoding's number; 7 (CMP) is a `Sub` whose result nobody stores.
    pub const fn of(n: u8) -> Alu {
        match n & 7 {
            0 => Alu::Add,
            1 => Alu::Or,
            2 => Alu::Adc,
            3 => Alu::Sbb,
            4 => Alu::And,
            6 => Alu::Xor,
            _ => Alu::Sub,
        }
    }
}

/// One-operand arithmetic.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unary {
    /// Keeps CF.
    Inc = 0,
    /// Keeps CF.
    Dec = 1,
    /// Sets no flag.
    Not = 2,
    Neg = 3,
}

impl Unary {
    /// From a const-generic number.
    pub const fn of(n: u8) -> Unary {
        match n & 3 {
            0 => Unary::Inc,
            1 => Unary::Dec,
            2 => Unary::Not,
            _ => Unary::Neg,
        }
    }
}

/// Shifts and rotates; numbers are the encoding's own.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shift {
    Rol = 0,
    Ror = 1,
    Rcl = 2,
    Rcr = 3,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

impl Shift {
    /// From the encoding's number (6 is an alias of SHL).
    pub const fn of(n: u8) -> Shift {
        match n & 7 {
            0 => Shift::Rol,
            1 => Shift::Ror,
            2 => Shift::Rcl,
            3 => Shift::Rcr,
            5 => Shift::Shr,
            7 => Shift::Sar,
            _ => Shift::Shl,
        }
    }
}

/// 64-bit arithmetic that touches no flag: address arithmetic and glue.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pure {
    Add,
    Sub,
    And,
    Or,
    Xor,
    /// Count below 64.
    Shl,
    /// Count below 64.
    Shr,
    /// Count below 64; 64-bit arithmetic shift.
    Sar,
    /// 1 if equal, else 0.
    Eq,
    /// Unsigned less: 1 or 0.
    Below,
}

/// Bit scans and counts. Flags as in `crate::interp::flags`.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bits {
    /// Zero source: ZF set, result is the old destination.
    Bsf = 0,
    /// Zero source: ZF set, result is the old destination.
    Bsr = 1,
    Popcnt = 2,
    Lzcnt = 3,
    Tzcnt = 4,
}

impl Bits {
    /// From a const-generic number.
    pub const fn of(n: u8) -> Bits {
        match n {
            0 => Bits::Bsf,
            1 => Bits::Bsr,
            2 => Bits::Popcnt,
            3 => Bits::Lzcnt,
            _ => Bits::Tzcnt,
        }
    }
}

/// What BT, BTS, BTR, BTC do to the bit.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BitOp {
    Test = 0,
    Set = 1,
    Reset = 2,
    Complement = 3,
}

impl BitOp {
    /// From a const-generic number.
    pub const fn of(n: u8) -> BitOp {
        match n & 3 {
            0 => BitOp::Test,
            1 => BitOp::Set,
            2 => BitOp::Reset,
            _ => BitOp::Complement,
        }
    }
}

/// A condition code (SDM volume 1, appendix B): the low four bits of Jcc, SETcc, CMOVcc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cond(pub u8);

#[allow(missing_docs)]
impl Cond {
    pub const O: Cond = Cond(0);
    pub const B: Cond = Cond(2);
    pub const E: Cond = Cond(4);
    pub const NE: Cond = Cond(5);
}

/// Why control goes elsewhere; a translator predicts returns by it.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    Plain,
    Call,
    Return,
}

/// 128 bits, low word first: what `Direct` and vector operations compute with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Vec128(pub [u64; 2]);

/// A vector operation: pure computation on two 128-bit operands, except for MXCSR (rounding in, exception bits out)
/// and status flags where [`VecOp::FLAGS`] says so. Zero-sized types, owned by `crate::simd`. An implementation calls
/// [`VecOp::run`], or knows a better way for `i.code()`.
pub trait VecOp {
    /// Whether it may raise #XM (and reads MXCSR).
    const FLOAT: bool = false;
    /// Whether it writes RFLAGS (COMISD, PTEST): `run` then finds and leaves them exact in `x.cpu.rflags`.
    const FLAGS: bool = false;
    /// `a` is the old destination, `b` the source (zero-extended where it is narrower), the immediate is `i.imm`.
    fn run(x: &mut Exec<'_>, i: &Insn, a: Vec128, b: Vec128) -> Result<Vec128, Fault>;
}

/// Shared Rust code behind an instruction: the long tail.
pub type Helper = for<'a, 'b, 'c> fn(&'a mut Exec<'b>, &'c Insn) -> Result<(), Fault>;

/// How a [`Helper`] is called, and what it may do. In every case `cpu.rip` is the instruction's own start, `count` is
/// exact, `cpu.gpr` and `cpu.vec` are in place; an `Err` means that nothing of the instruction has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Neither reads nor writes the status flags (they may be stale in `cpu.rflags`); leaves `cpu.rip` alone. Control
    /// goes on with the next instruction of the block, unless a chip asks for attention or code has changed.
    Inline,
    /// As `Inline`, but status flags are exact in `cpu.rflags` before and taken from there after.
    InlineFlags,
    /// As `Inline`; loads the data segment register that [`Insn::loads_segment`] names. The block goes on if that leaves
    /// the mode as it was.
    Segment,
    /// May change anything but where control goes (leaves `cpu.rip` alone): ends the block; mode, interrupts and the
    /// end of the slice are looked at again before the next instruction.
    Step,
    /// As `Step`, and sets `cpu.rip` itself (to the target, to [`Exec::next_rip`], or not at all: the instruction will
    /// be run again).
    Transfer,
    /// As `Transfer`, and advances `x.count` itself (repeated string instructions: one for each iteration).
    Counted,
}

/// What [`Ops::system_flags`] has.
pub const SYSTEM_FLAGS: u64 = !(flag::STATUS | flag::RF | flag::VM);

/// What a system instruction does, where an implementation may do without shared code: see [`Ops::spells`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Loads a segment register, numbered as [`crate::state::Seg`].
    Segment(u8),
    /// A far jump, call or return with a 16-bit offset.
    Far,
    /// INT, or IRET with 16-bit operands.
    Interrupt,
    /// POPF of so many bytes.
    Flags(u8),
}

/// Whether a meaning is the last of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    /// The block goes on.
    No,
    /// A jump: the meaning ends in `jump_*`, `branch`.
    Jump,
    /// Ends in [`Ops::call`] with [`Call::Step`].
    Step,
    /// Ends in [`Ops::call`] with [`Call::Transfer`].
    Transfer,
    /// Ends in [`Ops::call`] with [`Call::Counted`].
    Counted,
}

/// What an instruction can do. See the module's head for the rules.
pub trait Ops: Sized {
    /// An integer of up to 64 bits.
    type V: Copy;
    /// A 128-bit vector.
    type X: Copy;

    /// A constant.
    fn imm(&mut self, v: u64) -> Self::V;
    /// Register `r`: 0-15, and for `w` = 1 also 16-19 for AH, CH, DH, BH.
    fn get(&mut self, r: u8, w: u8) -> Self::V;
    /// Writes register `r`, numbered as in `get`.
    fn set(&mut self, r: u8, w: u8, v: Self::V);

    /// 64-bit arithmetic without flags.
    fn pure(&mut self, op: Pure, a: Self::V, b: Self::V) -> Self::V;
    /// Keeps the low `w` bytes.
    fn zext(&mut self, w: u8, v: Self::V) -> Self::V;
    /// Sign-extends the low `w` bytes to 64 bits.
    fn sext(&mut self, w: u8, v: Self::V) -> Self::V;
    /// `c` (0 or 1) ? `a` : `b`.
    fn select(&mut self, c: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Reverses the low `w` bytes.
    fn bswap(&mut self, w: u8, v: Self::V) -> Self::V;

    /// Arithmetic with status flags.
    fn alu(&mut self, op: Alu, w: u8, a: Self::V, b: Self::V) -> Self::V;
    /// One-operand arithmetic with status flags.
    fn unary(&mut self, op: Unary, w: u8, a: Self::V) -> Self::V;
    /// Shift or rotate by the low bits of `count`, masked as the processor does; a masked count of zero changes no flag.
    fn shift(&mut self, op: Shift, w: u8, a: Self::V, count: Self::V) -> Self::V;
    /// SHLD (`left`) or SHRD: shifts `a`, filling from `b`.
    fn double_shift(&mut self, left: bool, w: u8, a: Self::V, b: Self::V, count: Self::V) -> Self::V;
    /// Full product (low half, high half), each `w` bytes, with flags of MUL or IMUL.
    fn mul(&mut self, signed: bool, w: u8, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// Divides `hi:lo` by `d`: (quotient, remainder), with flags of DIV. #DE on zero and overflow.
    fn div(
        &mut self,
        signed: bool,
        w: u8,
        hi: Self::V,
        lo: Self::V,
        d: Self::V,
    ) -> Result<(Self::V, Self::V), Bail>;
    /// Bit scans and counts; `old` is the destination's value before.
    fn bits(&mut self, op: Bits, w: u8, v: Self::V, old: Self::V) -> Self::V;
    /// CF = bit `n` (modulo width) of `v`; the result has the bit changed.
    fn bit_test(&mut self, op: BitOp, w: u8, v: Self::V, n: Self::V) -> Self::V;

    /// 1 if the condition holds, else 0.
    fn cond(&mut self, c: Cond) -> Self::V;
    /// The other bits of RFLAGS that PUSHF shows outside V86 mode: all but RF and VM.
    fn system_flags(&mut self) -> Self::V;
    /// The status flags (CF PF AF ZF SF OF at their places in RFLAGS, other bits 0).
    fn flags(&mut self) -> Self::V;
    /// Replaces the flags in `mask` (status flags and DF) by those in `v`.
    fn set_flags(&mut self, mask: u64, v: Self::V);

    /// Offset of the memory operand within its segment, truncated to the address size.
    fn ea(&mut self, i: &Insn) -> Self::V;
    /// As `ea`, where the operand is a base register with a displacement.
    #[inline(always)]
    fn ea_base(&mut self, i: &Insn) -> Self::V {
        self.ea(i)
    }
    /// Loads the memory operand, which is at offset `ea`.
    #[inline(always)]
    fn load_operand(&mut self, i: &Insn, ea: Self::V, w: u8) -> Result<Self::V, Bail> {
        self.load(i, i.seg, ea, w)
    }
    /// Stores to the memory operand, which is at offset `ea`.
    #[inline(always)]
    fn store_operand(&mut self, i: &Insn, ea: Self::V, w: u8, v: Self::V) -> Done {
        self.store(i, i.seg, ea, w, v)
    }
    /// The selector in segment register `seg` (numbered as [`crate::state::Seg`]), zero-extended.
    fn selector(&mut self, seg: u8) -> Self::V;
    /// The address of the next instruction (as CALL pushes it), truncated to the code size.
    fn next_ip(&mut self, i: &Insn) -> Self::V;
    /// Loads from `seg:ea` (`seg` as [`crate::state::Seg`], normally `i.seg`).
    fn load(&mut self, i: &Insn, seg: u8, ea: Self::V, w: u8) -> Result<Self::V, Bail>;
    /// Stores to `seg:ea`.
    fn store(&mut self, i: &Insn, seg: u8, ea: Self::V, w: u8, v: Self::V) -> Done;
    /// Checks that `w` bytes at `seg:ea` can be stored to.
    fn check_store(&mut self, i: &Insn, seg: u8, ea: Self::V, w: u8) -> Done;
    /// Read-modify-write of `i.seg:ea`: checks for writing, loads, computes, stores. Atomic towards other processors
    /// if `i.has_lock()` (while they take turns, it is plain).
    fn rmw(&mut self, i: &Insn, ea: Self::V, w: u8, f: impl FnOnce(&mut Self, Self::V) -> Self::V) -> Done;
    /// CMPXCHG of the memory operand and register `i.src` as one operation. False: the caller spells it out.
    #[inline(always)]
    fn compare_exchange(&mut self, _: &Insn, _w: u8) -> Result<bool, Bail> {
        Ok(false)
    }
    /// As `rmw`, always atomic towards other processors (XCHG with memory needs no prefix).
    #[inline(always)]
    fn locked_rmw(
        &mut self,
        i: &Insn,
        ea: Self::V,
        w: u8,
        f: impl FnOnce(&mut Self, Self::V) -> Self::V,
    ) -> Done {
        self.rmw(i, ea, w, f)
    }
    /// A string instruction without repetition as one operation, which `f` does. False: the caller spells it out.
    #[inline(always)]
    fn string(&mut self, _: &Insn, _how: Call, _f: Helper) -> Result<bool, Bail> {
        Ok(false)
    }
    /// How far the next element of a string is from one of `w` bytes: `w`, or as many backwards if DF is set.
    #[inline(always)]
    fn stride(&mut self, w: u8) -> Self::V {
        // Bit 10 of RFLAGS at the place of twice the width.
        let flags = self.system_flags();
        let by = self.imm(u64::from(9 - w.trailing_zeros() as u8));
        let bit = self.pure(Pure::Shr, flags, by);
        let twice = self.imm(2 * u64::from(w));
        let back = self.pure(Pure::And, bit, twice);
        let on = self.imm(u64::from(w));
        self.pure(Pure::Sub, on, back)
    }
    /// Whether `i` is to be spelled out by means of the operations that follow, which then do it as it is done at hand: as
    /// real and V86 mode do; POPF as privilege level 0 does. Otherwise shared code runs, and they are not used.
    #[inline(always)]
    fn spells(&self, _: &Insn, _: System) -> bool {
        false
    }
    /// Loads a segment register.
    #[inline(always)]
    fn set_segment(&mut self, _seg: u8, _selector: Self::V) {}
    /// Comes before anything that a far transfer changes.
    #[inline(always)]
    fn check_far(&mut self) {}
    /// Goes to `ip` in segment `cs`, each of two bytes.
    #[inline(always)]
    fn jump_far(&mut self, _cs: Self::V, _ip: Self::V) {}
    /// The far pointer in the interrupt vector table's entry `n`.
    #[inline(always)]
    fn vector(&mut self, _n: u8) -> Self::V {
        self.imm(0)
    }
    /// Comes before anything that IRET changes.
    #[inline(always)]
    fn check_iret(&mut self) {}
    /// A place for a frame of `w` bytes that can be stored to, at once.
    #[inline(always)]
    fn frame(&mut self, _seg: u8, _ea: Self::V, _w: u8) -> Self::V {
        self.imm(0)
    }
    /// Stores `w` bytes of `v` at place `p`, `skip` bytes into it.
    #[inline(always)]
    fn store_in_frame(&mut self, _p: Self::V, _skip: u8, _w: u8, _v: Self::V) {}
    /// Clears flags that are no status flags.
    #[inline(always)]
    fn clear_flags(&mut self, _mask: u64) {}
    /// Replaces the flags that POPF of `w` bytes does; comes before anything else that the instruction changes.
    #[inline(always)]
    fn pop_flags(&mut self, _w: u8, _v: Self::V) {}
    /// Orders memory accesses towards other processors (MFENCE and friends).
    fn fence(&mut self, i: &Insn);

    /// Stack pointer, truncated to the stack size, `delta` bytes further.
    #[inline(always)]
    fn sp(&mut self, i: &Insn, delta: i32) -> Self::V {
        let sp = self.get(4, 8);
        let d = self.imm(delta as i64 as u64);
        let sp = self.pure(Pure::Add, sp, d);
        self.zext(i.stack_width(), sp)
    }
    /// Writes the stack pointer (as wide as the stack size says).
    #[inline(always)]
    fn set_sp(&mut self, i: &Insn, v: Self::V) {
        self.set(4, i.stack_width(), v);
    }
    /// Pushes `w` bytes.
    #[inline(always)]
    fn push(&mut self, i: &Insn, w: u8, v: Self::V) -> Done {
        let sp = self.sp(i, -i32::from(w));
        self.store(i, crate::state::Seg::Ss as u8, sp, w, v)?;
        self.set_sp(i, sp);
        Ok(())
    }
    /// The value on top of the stack; the stack pointer stays.
    #[inline(always)]
    fn top(&mut self, i: &Insn, w: u8) -> Result<Self::V, Bail> {
        let sp = self.sp(i, 0);
        self.load(i, crate::state::Seg::Ss as u8, sp, w)
    }

    /// Goes to the direct target: [`Insn::target`] from the next instruction, truncated to the operand size. A direct
    /// CALL comes here after its push, with [`Jump::Call`].
    fn jump_direct(&mut self, i: &Insn, why: Jump) -> Done;
    /// Goes to offset `to` (already truncated to the operand size).
    fn jump_indirect(&mut self, i: &Insn, why: Jump, to: Self::V) -> Done;
    /// Faults if the direct target is outside the code segment: for a CALL, before it pushes.
    fn check_direct(&mut self, i: &Insn) -> Done;
    /// Faults if `to` is outside the code segment or not canonical.
    fn check_indirect(&mut self, i: &Insn, to: Self::V) -> Done;
    /// Goes to the direct target if `c` is 1, else to the next instruction.
    fn branch(&mut self, i: &Insn, c: Self::V) -> Done;
    /// As `branch`, by condition code.
    #[inline(always)]
    fn branch_cond(&mut self, i: &Insn, c: Cond) -> Done {
        let c = self.cond(c);
        self.branch(i, c)
    }

    /// Raises a fault.
    fn raise(&mut self, f: Fault) -> Bail;
    /// Runs shared Rust code.
    fn call(&mut self, i: &Insn, how: Call, f: Helper) -> Done;

    /// XMM register `r`.
    fn xmm(&mut self, r: u8) -> Self::X;
    /// Writes XMM register `r`; upper halves of YMM stay (legacy SSE).
    fn set_xmm(&mut self, r: u8, x: Self::X);
    /// Loads 16 bytes; `aligned`: #GP(0) unless the linear address is a multiple of 16.
    fn load_x(&mut self, i: &Insn, seg: u8, ea: Self::V, aligned: bool) -> Result<Self::X, Bail>;
    /// Stores 16 bytes.
    fn store_x(&mut self, i: &Insn, seg: u8, ea: Self::V, aligned: bool, x: Self::X) -> Done;
    /// The low `w` bytes of a vector, zero-extended.
    fn x_low(&mut self, w: u8, x: Self::X) -> Self::V;
    /// The high 8 bytes.
    fn x_high(&mut self, x: Self::X) -> Self::V;
    /// A vector from its two words.
    fn x_from(&mut self, low: Self::V, high: Self::V) -> Self::X;
    /// A vector operation.
    fn vec<M: VecOp>(&mut self, i: &Insn, a: Self::X, b: Self::X) -> Result<Self::X, Bail>;
    /// MMX register `r` (0-7): the significand of the physical x87 register.
    fn mmx(&mut self, r: u8) -> Self::V;
    /// Writes an MMX register: sets exponent and sign to ones. `mmx_enter` came before.
    fn set_mmx(&mut self, r: u8, v: Self::V);
    /// What each MMX instruction does before it touches memory: #MF if an x87 error waits.
    fn mmx_ready(&mut self, i: &Insn) -> Done;
    /// What each MMX instruction but EMMS does when its operands are there: TOP = 0 and all tags valid. `mmx_ready` came
    /// before.
    fn mmx_enter(&mut self, i: &Insn) -> Done;
}

/// The meaning of one instruction form: a zero-sized type, made by [`crate::meaning!`].
pub trait Meaning {
    /// Whether it is the last of its block.
    const END: End = End::No;
    /// Runs it.
    fn run<O: Ops>(o: &mut O, i: &Insn) -> Done;
}

/// Receives the [`Meaning`] chosen for an instruction.
pub trait Select: Sized {
    /// What it makes of it.
    type Out;
    /// Takes the choice.
    fn take<M: Meaning>(self) -> Self::Out;
}

/// Declares meanings: zero-sized types with a body over `Ops`.
///
/// ```text
/// meaning! {
///     /// BSWAP r32/r64.
///     pub Bswap<const W: u8>(o, i) { let v = o.get(i.dst, W); let v = o.bswap(W, v); o.set(i.dst, W, v); Ok(()) }
///     /// HLT.
///     pub Hlt: End::Step, (o, i) { o.call(i, Call::Step, helper::hlt) }
/// }
/// ```
#[macro_export]
macro_rules! meaning {
    ($($(#[$doc:meta])* pub $name:ident $(<$(const $c:ident: $ct:ty),* $(; $($t:ident: $tb:path),*)?>)? $(: $end:expr,)? ($o:ident, $i:ident) $body:block)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        #[allow(unused_parens)]
        pub struct $name $(<$(const $c: $ct,)* $($($t),*)?>)? $($((std::marker::PhantomData<($($t),*)>))?)?;
        impl $(<$(const $c: $ct,)* $($($t: $tb),*)?>)? $crate::ops::Meaning for $name $(<$($c,)* $($($t),*)?>)? {
            $(const END: $crate::ops::End = $end;)?
            #[inline(always)]
            #[allow(unused_variables)]
            fn run<O: $crate::ops::Ops>($o: &mut O, $i: &$crate::insn::Insn) -> $crate::ops::Done $body
        }
    )* };
}
