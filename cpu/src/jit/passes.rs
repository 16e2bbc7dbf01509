//! What lowering must know beforehand: who uses a value last, and which status flags are read later.
//!
//! A flag is *live* after an operation if something in the block reads it before it is overwritten, or control can leave
//! the block first: at its end, or wherever an instruction may have to be handed to the interpreter, which sees all
//! state exact.

use super::Hop;
use super::groups::Groups;
use super::ir::{Op, Val};
use crate::insn::{Insn, ModeKey};
use crate::ops::{Alu, BitOp, Call, Cond, Shift, Unary};

/// The six status flags as a small mask.
#[allow(missing_docs)]
pub mod fl {
    pub const C: u8 = 1;
    pub const P: u8 = 2;
    pub const A: u8 = 4;
    pub const Z: u8 = 8;
    pub const S: u8 = 16;
    pub const O: u8 = 32;
    pub const ALL: u8 = 63;
}

/// The flags that a condition reads.
pub fn cond_reads(c: Cond) -> u8 {
    match c.0 >> 1 & 7 {
        0 => fl::O,
        1 => fl::C,
        2 => fl::Z,
        3 => fl::C | fl::Z,
        4 => fl::S,
        5 => fl::P,
        6 => fl::S | fl::O,
        _ => fl::Z | fl::S | fl::O,
    }
}

/// Flags that an operation reads, and those that it surely overwrites.
pub fn effect(op: &Op, constant: impl Fn(Val) -> Option<u64>) -> (u8, u8) {
    match *op {
        Op::Alu { op, .. } => (if matches!(op, Alu::Adc | Alu::Sbb) { fl::C } else { 0 }, fl::ALL),
        Op::Unary { op: Unary::Inc | Unary::Dec, .. } => (0, fl::ALL & !fl::C),
        Op::CmpXchg { .. } | Op::Unary { op: Unary::Neg, .. } | Op::Bits { .. } => (0, fl::ALL),
        Op::Mul { .. } => (0, fl::C | fl::O),
        Op::Div { .. } => (0, fl::ALL & !(fl::C | fl::O)),
        Op::Unary { .. } => (0, 0),
        Op::Shift { op, w, count, .. } => {
            let carry = if matches!(op, Shift::Rcl | Shift::Rcr) { fl::C } else { 0 };
            let some = match op {
                Shift::Shl | Shift::Shr | Shift::Sar => fl::ALL,
                _ => fl::C | fl::O,
            };
            match constant(count).map(|n| n & if w == 8 { 63 } else { 31 }) {
                Some(0) => (0, 0),
                Some(_) => (carry, some),
                // By a count that may be zero: nothing is surely overwritten.
                None => (carry, 0),
            }
        }
        Op::DoubleShift { count, w, .. } => match constant(count).map(|n| n & if w == 8 { 63 } else { 31 }) {
            Some(0) | None => (0, 0),
            Some(_) => (0, fl::ALL),
        },
        Op::BitTest { .. } => (0, fl::C),
        Op::Cond(c) | Op::BranchCond(c) | Op::SideExit { c, .. } => (cond_reads(c), 0),
        Op::Flags => (fl::ALL, 0),
        Op::SetFlags { mask, .. } => (0, from_rflags(mask)),
        Op::PopFlags { .. } => (0, fl::ALL),
        Op::Call { how: Call::Inline | Call::Segment, .. } => (0, 0),
        Op::Call { .. } => (fl::ALL, fl::ALL),
        Op::Vec { flags: true, .. } => (0, fl::ALL),
        _ => (0, 0),
    }
}

/// RFLAGS bits as a mask of [`fl`].
pub fn from_rflags(f: u64) -> u8 {
    (f & 1 | f >> 1 & 2 | f >> 2 & 4 | f >> 3 & 24 | f >> 6 & 32) as u8
}

/// Whether an operation may leave the block with the state of its instruction's start.
pub fn may_leave(op: &Op) -> bool {
    matches!(
        op,
        Op::Load(_)
            | Op::Store { .. }
            | Op::CheckStore(_)
            | Op::Probe(_)
            | Op::LoadX { .. }
            | Op::StoreX { .. }
            | Op::Div { .. }
            | Op::SetSegment { .. }
            | Op::CheckFar
            | Op::Vector(_)
            | Op::CheckIret
            | Op::PopFlags { .. }
            | Op::CheckDirect
            | Op::CheckIndirect(_)
            | Op::SideExit { .. }
            | Op::Inner(Some(Hop { first: true, .. }))
            | Op::Expect { .. }
            | Op::Call { .. }
            | Op::Vec { native: false, .. }
            | Op::MmxReady
            | Op::MmxEnter
    )
}

/// Bytes of a whole general register in code of a kind, other than 16-bit code.
pub fn full_width(key: ModeKey) -> u8 {
    if key.code64() { 8 } else { 4 }
}

/// Results of the analysis, by operation.
#[derive(Default)]
pub struct Facts {
    /// Uses of each value.
    pub uses: Vec<u16>,
    /// The last operation that uses it (its own number if none does).
    pub last: Vec<u32>,
    /// Flags live after each operation.
    pub live: Vec<u8>,
    /// Whether control may leave after this operation and before all flags are overwritten.
    pub exposed: Vec<bool>,
}

/// What a block does with the flags that it is entered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// It reads them, keeps some of them, or hands them on.
    pub needed: bool,
    /// Guest registers that it changes while control may still leave with those flags.
    pub dirty: u16,
}

impl Incoming {
    /// The bit of [`Incoming::refuses`] that is set if no recipe will do.
    pub const ANY: u32 = 1 << 16;

    /// As a mask: a recipe that reads a register of it, or any at all with [`Incoming::ANY`], can't be brought.
    pub fn refuses(&self) -> u64 {
        u64::from(self.dirty) | if self.needed { u64::from(Incoming::ANY) } else { 0 }
    }

    /// Whether a recipe that reads the registers in `inputs` can't be brought.
    pub fn refuses_recipe(&self, inputs: u16) -> bool {
        self.refuses() & u64::from(Incoming::ANY | u32::from(inputs)) != 0
    }
}

/// Finds out what a block does with the flags that it is entered with.
pub fn incoming(ops: &[Op], groups: &Groups) -> Incoming {
    let constant = |v: Val| match ops[v.n()] {
        Op::Imm(c) => Some(c),
        _ => None,
    };
    let (mut changed, mut dirty) = (0u16, 0);
    for (i, op) in ops.iter().enumerate() {
        let (reads, kills) = effect(op, constant);
        if may_leave(op) && !groups.follows(i) {
            dirty |= changed;
        }
        let partly = match op {
            Op::Shift { .. } | Op::DoubleShift { .. } => true,
            Op::SetFlags { mask, .. } => from_rflags(*mask) != 0,
            _ => kills != 0,
        };
        // Some ways to other code take flags only as they are in memory.
        let leaves = matches!(op, Op::Inner(Some(Hop { first: true, .. })) | Op::Expect { .. });
        if reads != 0 || leaves || partly && kills != fl::ALL {
            break;
        }
        if kills == fl::ALL {
            return Incoming { needed: false, dirty };
        }
        match *op {
            Op::Set { r, .. } => changed |= 1 << if r >= 16 { r & 3 } else { r },
            Op::Mul { .. } | Op::Div { .. } => changed |= 5,
            // Most make the flags first. RDTSC, RDTSCP and FNSTSW AX, lowered in place, change some of these registers.
            Op::Call { .. } => changed |= 7,
            _ => {}
        }
    }
    Incoming { needed: true, dirty }
}

/// Looks through a block's operations.
pub fn analyse(ops: &[Op], groups: &Groups) -> Facts {
    let n = ops.len();
    let mut f =
        Facts { uses: vec![0; n], last: (0..n as u32).collect(), live: vec![0; n], exposed: vec![false; n] };
    let mut wanted = vec![false; n];
    ops.iter().for_each(|op| op.uses(|v| wanted[v.n()] = true));
    for (i, op) in ops.iter().enumerate() {
        // A second result that nobody wants is no use of the first.
        if matches!(op, Op::High(_) | Op::Remainder(_)) && !wanted[i] {
            continue;
        }
        op.uses(|v| {
            f.uses[v.n()] += 1;
            f.last[v.n()] = i as u32;
        });
    }
    let constant = |v: Val| match ops[v.n()] {
        Op::Imm(c) => Some(c),
        _ => None,
    };
    let (mut live, mut exposed) = (fl::ALL, true);
    for (i, op) in ops.iter().enumerate().rev() {
        (f.live[i], f.exposed[i]) = (live, exposed);
        let (reads, kills) = effect(op, constant);
        live = live & !kills | reads;
        let leaves = may_leave(op) && !groups.follows(i);
        exposed = exposed && kills != fl::ALL || leaves;
        if leaves {
            live = fl::ALL;
        }
    }
    f
}

/// Whether a bit test changes its operand.
pub fn changes(op: BitOp) -> bool {
    op != BitOp::Test
}

/// Which operations access memory by a register loaded by an access of which the same is true, in a block or, if it goes back to
/// its start, in the turns before: where a list is followed, each access waits for the one before.
pub fn chased(ops: &[Op], insns: &[Insn]) -> Vec<bool> {
    const DEEP: u8 = 2;
    let mut chased = vec![false; ops.len()];
    // How many loads in a row each register's content took.
    let mut depth = [0u8; 16];
    for _ in 0..=DEEP {
        let mut insn = insns.first();
        for (i, op) in ops.iter().enumerate() {
            match *op {
                Op::Begin(n) => insn = insns.get(usize::from(n)),
                Op::Load(at) => {
                    let base = match ops[at.ea.n()] {
                        Op::Ea => insn.map_or(u8::MAX, |i| i.base),
                        Op::Get { r, .. } => r,
                        _ => u8::MAX,
                    };
                    let d = depth.get(usize::from(base)).copied().unwrap_or(0);
                    chased[i] = d >= DEEP;
                    if let Some(Op::Set { r: to @ 0..16, v, .. }) = ops.get(i + 1)
                        && v.n() == i
                    {
                        depth[usize::from(*to)] = (d + 1).min(DEEP);
                    }
                }
                Op::Set { r, v, .. } => match ops[v.n()] {
                    Op::Load(_) if v.n() + 1 == i && r < 16 => {}
                    Op::Get { r: from @ 0..16, .. } if r < 16 => {
                        depth[usize::from(r)] = depth[usize::from(from)]
                    }
                    _ => depth[usize::from(if r >= 16 { r & 3 } else { r })] = 0,
                },
                Op::Call { .. } => depth = [0; 16],
                _ => {}
            }
        }
    }
    chased
}
