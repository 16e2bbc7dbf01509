//! Micro-operations: what a block of guest instructions does, at x86 grain, in order. A value is the index of the
//! operation that makes it.
//!
//! The builder ([`super::builder`]) makes the list by running each instruction's meaning; [`super::passes`] finds out which flags
//! and values are needed; [`super::lower`] turns it into host code.

use super::Hop;
use crate::insn::Insn;
use crate::ops::{Alu, BitOp, Bits, Call, Cond, Helper, Jump, Pure, Shift, Unary};
use crate::{Exec, Fault, ops::Vec128};

/// A value: the number of the operation that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Val(pub u32);

impl Val {
    /// As an index.
    pub fn n(self) -> usize {
        self.0 as usize
    }
}

/// A vector operation behind a function pointer.
pub type VecFn = fn(&mut Exec<'_>, &Insn, Vec128, Vec128) -> Result<Vec128, Fault>;

/// A segment-relative place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Segment number.
    pub seg: u8,
    /// Offset.
    pub ea: Val,
    /// Bytes.
    pub w: u8,
}

/// One micro-operation.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Op {
    /// Guest instruction number `n` of the block begins: the state is exact here.
    Begin(u16),
    Imm(u64),
    Get {
        r: u8,
        w: u8,
    },
    Set {
        r: u8,
        w: u8,
        v: Val,
    },
    Pure {
        op: Pure,
        a: Val,
        b: Val,
    },
    Zext {
        w: u8,
        v: Val,
    },
    Sext {
        w: u8,
        v: Val,
    },
    Select {
        c: Val,
        a: Val,
        b: Val,
    },
    Bswap {
        w: u8,
        v: Val,
    },
    Alu {
        op: Alu,
        w: u8,
        a: Val,
        b: Val,
    },
    Unary {
        op: Unary,
        w: u8,
        a: Val,
    },
    Shift {
        op: Shift,
        w: u8,
        a: Val,
        count: Val,
    },
    DoubleShift {
        left: bool,
        w: u8,
        a: Val,
        b: Val,
        count: Val,
    },
    Mul {
        signed: bool,
        w: u8,
        a: Val,
        b: Val,
    },
    /// Second result of a `Mul` (high half).
    High(Val),
    Div {
        signed: bool,
        w: u8,
        hi: Val,
        lo: Val,
        d: Val,
    },
    /// Second result of a `Div` (remainder).
    Remainder(Val),
    Bits {
        op: Bits,
        w: u8,
        v: Val,
        old: Val,
    },
    BitTest {
        op: BitOp,
        w: u8,
        v: Val,
        n: Val,
    },
    Cond(Cond),
    Flags,
    SetFlags {
        mask: u64,
        v: Val,
    },
    /// Offset of the instruction's memory operand.
    Ea,
    /// Address of the next instruction.
    NextIp,
    /// What RFLAGS have besides the status flags, RF and VM.
    SystemFlags,
    /// How far the next element of a string is from one of so many bytes.
    Stride(u8),
    /// Selector in a segment register.
    Selector(u8),
    Load(Place),
    Store {
        at: Place,
        v: Val,
    },
    CheckStore(Place),
    /// Checks for writing; the value is the host address.
    Probe(Place),
    LoadAt {
        p: Val,
        w: u8,
    },
    StoreAt {
        p: Val,
        w: u8,
        v: Val,
    },
    /// CMPXCHG with the accumulator.
    CmpXchg {
        p: Val,
        w: u8,
        new: Val,
    },
    Fence,
    /// Loads a segment register as real and V86 mode do.
    SetSegment {
        seg: u8,
        v: Val,
    },
    /// CS is as real and V86 mode have it.
    CheckFar,
    /// Goes to another segment as real and V86 mode do.
    JumpFar {
        cs: Val,
        ip: Val,
    },
    /// The far pointer in the interrupt vector table's entry.
    Vector(u8),
    /// Nothing hangs on an IRET but what it pops.
    CheckIret,
    /// Stores into what a `Probe` found.
    StoreIn {
        p: Val,
        skip: u8,
        w: u8,
        v: Val,
    },
    /// Clears flags that are no status flags.
    ClearFlags(u64),
    /// Replaces flags as POPF at privilege level 0 does, if only flags differ that change nothing else.
    PopFlags {
        w: u8,
        v: Val,
    },
    CheckDirect,
    CheckIndirect(Val),
    JumpDirect(Jump),
    JumpIndirect(Jump, Val),
    Branch(Val),
    BranchCond(Cond),
    /// A branch in the middle of a trace: leaves to offset `to` of the page if `c` holds.
    SideExit {
        c: Cond,
        to: u16,
    },
    /// A jump in the middle of a trace, which goes on with its target, in another page perhaps.
    Inner(Option<Hop>),
    /// A return leads to `v`: leaves, with what it pops popped, if that isn't so many bytes from the start of the page.
    Expect {
        v: Val,
        to: i32,
    },
    /// A jump, at the end, to where a return has been found to lead: so many bytes from the start of the page.
    GoBack(i32),
    /// Rust code in the middle of the block.
    Call {
        how: Call,
        f: Helper,
    },
    Xmm(u8),
    SetXmm {
        r: u8,
        x: Val,
    },
    LoadX {
        at: Place,
        aligned: bool,
    },
    StoreX {
        at: Place,
        aligned: bool,
        x: Val,
    },
    XLow {
        w: u8,
        x: Val,
    },
    XHigh(Val),
    XFrom {
        low: Val,
        high: Val,
    },
    Vec {
        f: VecFn,
        /// The host has it: it leaves in no case.
        native: bool,
        flags: bool,
        a: Val,
        b: Val,
    },
    Mmx(u8),
    SetMmx {
        r: u8,
        v: Val,
    },
    MmxReady,
    MmxEnter,
}

impl Op {
    /// Whether it works on vector registers.
    pub fn is_vector(&self) -> bool {
        matches!(
            self,
            Op::Xmm(_)
                | Op::SetXmm { .. }
                | Op::LoadX { .. }
                | Op::StoreX { .. }
                | Op::XLow { .. }
                | Op::XHigh(_)
                | Op::XFrom { .. }
                | Op::Vec { .. }
        )
    }
    /// As text.
    pub fn name(&self) -> String {
        // Where a function lies differs from run to run.
        match self {
            Op::Call { how, .. } => format!("Call {{ how: {how:?} }}"),
            Op::Vec { native, flags, a, b, .. } => {
                format!("Vec {{ native: {native}, flags: {flags}, a: {a:?}, b: {b:?} }}")
            }
            op => format!("{op:?}"),
        }
    }
    /// Calls `f` with each value that it uses.
    pub fn uses(&self, mut f: impl FnMut(Val)) {
        match *self {
            Op::Set { v, .. }
            | Op::Zext { v, .. }
            | Op::Sext { v, .. }
            | Op::Bswap { v, .. }
            | Op::SetFlags { v, .. }
            | Op::SetSegment { v, .. }
            | Op::PopFlags { v, .. }
            | Op::SetMmx { v, .. }
            | Op::High(v)
            | Op::Remainder(v)
            | Op::Branch(v)
            | Op::CheckIndirect(v)
            | Op::JumpIndirect(_, v)
            | Op::Expect { v, .. }
            | Op::Unary { a: v, .. }
            | Op::LoadAt { p: v, .. }
            | Op::SetXmm { x: v, .. }
            | Op::XLow { x: v, .. }
            | Op::XHigh(v) => f(v),
            Op::Pure { a, b, .. }
            | Op::Alu { a, b, .. }
            | Op::Mul { a, b, .. }
            | Op::Vec { a, b, .. }
            | Op::Shift { a, count: b, .. }
            | Op::Bits { v: a, old: b, .. }
            | Op::BitTest { v: a, n: b, .. }
            | Op::XFrom { low: a, high: b }
            | Op::JumpFar { cs: a, ip: b }
            | Op::StoreIn { p: a, v: b, .. }
            | Op::CmpXchg { p: a, new: b, .. }
            | Op::StoreAt { p: a, v: b, .. } => {
                f(a);
                f(b);
            }
            Op::Select { c, a, b } | Op::DoubleShift { count: c, a, b, .. } => {
                f(c);
                f(a);
                f(b);
            }
            Op::Div { hi, lo, d, .. } => {
                f(hi);
                f(lo);
                f(d);
            }
            Op::Load(at) | Op::CheckStore(at) | Op::Probe(at) | Op::LoadX { at, .. } => f(at.ea),
            Op::Store { at, v } | Op::StoreX { at, x: v, .. } => {
                f(at.ea);
                f(v);
            }
            Op::Begin(_)
            | Op::Imm(_)
            | Op::Get { .. }
            | Op::Cond(_)
            | Op::Flags
            | Op::Ea
            | Op::NextIp
            | Op::SystemFlags
            | Op::Stride(_)
            | Op::CheckFar
            | Op::Vector(_)
            | Op::CheckIret
            | Op::ClearFlags(_)
            | Op::Selector(_)
            | Op::Fence
            | Op::CheckDirect
            | Op::JumpDirect(_)
            | Op::BranchCond(_)
            | Op::SideExit { .. }
            | Op::Inner(_)
            | Op::GoBack(_)
            | Op::Call { .. }
            | Op::Xmm(_)
            | Op::Mmx(_)
            | Op::MmxReady
            | Op::MmxEnter => {}
        }
    }
}
