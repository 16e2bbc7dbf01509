//! [`Builder`]: running an instruction's meaning on it writes down micro-operations.

use super::ir::{Op, Place, Val};
use super::lower::x87;
use super::{Turn, Way, vectors};
use crate::Fault;
use crate::insn::{Insn, ModeKey};
use crate::ops::{
    Alu, Bail, BitOp, Bits, Call, Cond, Done, Helper, Jump, Meaning, Ops, Pure, Shift, System, Unary, VecOp,
};
use crate::state::Seg;
use iced_x86::Code;

/// The list of micro-operations in the making.
#[derive(Default)]
pub struct Builder {
    /// What has been written down so far.
    pub ops: Vec<Op>,
    /// Mode of the code.
    pub key: ModeKey,
    /// The instruction at hand can't go on in translated code: it raises a fault for sure, or is one that ends a block in
    /// the interpreter. What it wrote is to be taken back.
    refused: bool,
}

impl Builder {
    fn put(&mut self, op: Op) -> Val {
        self.ops.push(op);
        Val(self.ops.len() as u32 - 1)
    }

    /// A meaning may change registers after its branch, which only counts if the target is good (LOOP). Here the target is
    /// checked first, whichever way the branch will go, and the branch comes last.
    fn jump_last(&mut self, from: usize) {
        let jump = |op: &Op| {
            matches!(op, Op::Branch(_) | Op::BranchCond(_) | Op::JumpDirect(_) | Op::JumpIndirect(..))
        };
        let Some(at) = self.ops[from..].iter().position(jump).map(|k| from + k) else { return };
        if at + 1 == self.ops.len() {
            return;
        }
        // Values are numbered by place, but nothing refers to a jump: its place takes the check.
        let branch = self.ops[at];
        self.ops[at] = Op::CheckDirect;
        self.ops.push(branch);
    }

    /// The jump written down last is in the middle of a trace, which goes on as `turn` says.
    pub fn go_on(&mut self, turn: Turn) {
        if let Way::Back(to) = turn.way {
            self.expect(to);
        }
        let Some(op) = self.ops.last_mut() else { return };
        match (*op, turn.way) {
            (Op::BranchCond(c), Way::Next(to)) => *op = Op::SideExit { c, to },
            (Op::BranchCond(c), Way::Target(to)) => *op = Op::SideExit { c: Cond(c.0 ^ 1), to },
            (Op::JumpDirect(_) | Op::GoBack(_), _) => *op = Op::Inner(turn.hop),
            _ => {}
        }
    }

    /// The return written down last is expected to lead to what is so many bytes from the start of the page: it ends with
    /// a jump there.
    pub fn expect(&mut self, to: i32) {
        let check = |op: &Op| matches!(op, Op::CheckIndirect(_));
        let Some(Op::JumpIndirect(Jump::Return, v)) = self.ops.last().copied() else { return };
        // Values are numbered by place, but nothing refers to a check or a jump.
        let (Some(at), end) = (self.ops.iter().rposition(check), self.ops.len() - 1) else { return };
        self.ops[at] = Op::Expect { v, to };
        self.ops[end] = Op::GoBack(to);
    }

    /// See [`first_call`].
    pub fn first_call(&self, insns: &[Insn]) -> Option<usize> {
        first_call(&self.ops, insns)
    }

    /// Writes down instruction `i`, number `n` of its block. False if the interpreter has to run it; nothing is then added.
    pub fn add(&mut self, n: u16, i: &Insn) -> bool {
        let from = self.ops.len();
        self.refused = false;
        self.put(Op::Begin(n));
        let done = (i.build)(self, i);
        if done.is_err() || self.refused {
            self.ops.truncate(from);
            return false;
        }
        self.jump_last(from);
        true
    }
}

/// Number of the first instruction for which shared code may run behind which the block goes on.
pub fn first_call(ops: &[Op], insns: &[Insn]) -> Option<usize> {
    let mut n = 0;
    ops.iter().find_map(|op| {
        match *op {
            Op::Begin(k) => n = usize::from(k),
            Op::Call { how: Call::Transfer, .. } => {}
            Op::Call { how, .. } if x87::operand(how, &insns[n]).is_none() => return Some(n),
            _ => {}
        }
        None
    })
}

/// Writes one decoded instruction down.
pub type Build = for<'a, 'b> fn(&'a mut Builder, &'b Insn) -> Done;

/// The [`Build`] of a meaning.
pub fn build<M: Meaning>() -> Build {
    fn run<M: Meaning>(b: &mut Builder, i: &Insn) -> Done {
        M::run(b, i)
    }
    run::<M>
}

/// The [`Build`] of what is no instruction.
pub fn refuse(_: &mut Builder, _: &Insn) -> Done {
    Err(Bail::Fault)
}

impl Ops for Builder {
    type V = Val;
    type X = Val;

    fn imm(&mut self, v: u64) -> Val {
        self.put(Op::Imm(v))
    }
    fn get(&mut self, r: u8, w: u8) -> Val {
        self.put(Op::Get { r, w })
    }
    fn set(&mut self, r: u8, w: u8, v: Val) {
        self.put(Op::Set { r, w, v });
    }
    fn pure(&mut self, op: Pure, a: Val, b: Val) -> Val {
        self.put(Op::Pure { op, a, b })
    }
    fn zext(&mut self, w: u8, v: Val) -> Val {
        self.put(Op::Zext { w, v })
    }
    fn sext(&mut self, w: u8, v: Val) -> Val {
        self.put(Op::Sext { w, v })
    }
    fn select(&mut self, c: Val, a: Val, b: Val) -> Val {
        self.put(Op::Select { c, a, b })
    }
    fn bswap(&mut self, w: u8, v: Val) -> Val {
        self.put(Op::Bswap { w, v })
    }
    fn alu(&mut self, op: Alu, w: u8, a: Val, b: Val) -> Val {
        self.put(Op::Alu { op, w, a, b })
    }
    fn unary(&mut self, op: Unary, w: u8, a: Val) -> Val {
        self.put(Op::Unary { op, w, a })
    }
    fn shift(&mut self, op: Shift, w: u8, a: Val, count: Val) -> Val {
        self.put(Op::Shift { op, w, a, count })
    }
    fn double_shift(&mut self, left: bool, w: u8, a: Val, b: Val, count: Val) -> Val {
        self.put(Op::DoubleShift { left, w, a, b, count })
    }
    fn mul(&mut self, signed: bool, w: u8, a: Val, b: Val) -> (Val, Val) {
        let low = self.put(Op::Mul { signed, w, a, b });
        (low, self.put(Op::High(low)))
    }
    fn div(&mut self, signed: bool, w: u8, hi: Val, lo: Val, d: Val) -> Result<(Val, Val), Bail> {
        let q = self.put(Op::Div { signed, w, hi, lo, d });
        Ok((q, self.put(Op::Remainder(q))))
    }
    fn bits(&mut self, op: Bits, w: u8, v: Val, old: Val) -> Val {
        self.put(Op::Bits { op, w, v, old })
    }
    fn bit_test(&mut self, op: BitOp, w: u8, v: Val, n: Val) -> Val {
        self.put(Op::BitTest { op, w, v, n })
    }
    fn cond(&mut self, c: Cond) -> Val {
        self.put(Op::Cond(c))
    }
    fn flags(&mut self) -> Val {
        self.put(Op::Flags)
    }
    fn set_flags(&mut self, mask: u64, v: Val) {
        self.put(Op::SetFlags { mask, v });
    }
    fn ea(&mut self, _: &Insn) -> Val {
        self.put(Op::Ea)
    }
    fn system_flags(&mut self) -> Val {
        self.put(Op::SystemFlags)
    }
    fn selector(&mut self, seg: u8) -> Val {
        self.put(Op::Selector(seg))
    }
    fn next_ip(&mut self, _: &Insn) -> Val {
        self.put(Op::NextIp)
    }
    fn load(&mut self, _: &Insn, seg: u8, ea: Val, w: u8) -> Result<Val, Bail> {
        Ok(self.put(Op::Load(Place { seg, ea, w })))
    }
    fn store(&mut self, _: &Insn, seg: u8, ea: Val, w: u8, v: Val) -> Done {
        self.put(Op::Store { at: Place { seg, ea, w }, v });
        Ok(())
    }
    fn check_store(&mut self, _: &Insn, seg: u8, ea: Val, w: u8) -> Done {
        self.put(Op::CheckStore(Place { seg, ea, w }));
        Ok(())
    }
    fn rmw(&mut self, i: &Insn, ea: Val, w: u8, f: impl FnOnce(&mut Self, Val) -> Val) -> Done {
        let p = self.put(Op::Probe(Place { seg: i.seg, ea, w }));
        let a = self.put(Op::LoadAt { p, w });
        let v = f(self, a);
        self.put(Op::StoreAt { p, w, v });
        Ok(())
    }
    fn compare_exchange(&mut self, i: &Insn, w: u8) -> Result<bool, Bail> {
        let ea = self.put(Op::Ea);
        let p = self.put(Op::Probe(Place { seg: i.seg, ea, w }));
        let new = self.put(Op::Get { r: i.src, w });
        self.put(Op::CmpXchg { p, w, new });
        Ok(true)
    }
    fn spells(&self, i: &Insn, what: System) -> bool {
        let plain = self.key.real() || self.key.v86();
        match what {
            // A segment that is flat may cease to be.
            System::Segment(n) => plain && n != Seg::Ss as u8 && self.key.flat() >> n & 1 == 0,
            System::Far => {
                plain
                    && (i.size == 2 || i.code() == Code::Int_imm8)
                    && self.key.bits() == 16
                    && !self.key.code_flat()
            }
            System::Interrupt => self.spells(i, System::Far) && self.key.real(),
            System::Flags(w) => !self.key.v86() && self.key.cpl() == 0 && (w != 2 || self.key.bits() == 16),
        }
    }
    fn set_segment(&mut self, seg: u8, selector: Val) {
        self.put(Op::SetSegment { seg, v: selector });
    }
    fn check_far(&mut self) {
        self.put(Op::CheckFar);
    }
    fn jump_far(&mut self, cs: Val, ip: Val) {
        self.put(Op::JumpFar { cs, ip });
    }
    fn vector(&mut self, n: u8) -> Val {
        self.put(Op::Vector(n))
    }
    fn check_iret(&mut self) {
        self.put(Op::CheckIret);
    }
    fn frame(&mut self, seg: u8, ea: Val, w: u8) -> Val {
        self.put(Op::Probe(Place { seg, ea, w }))
    }
    fn store_in_frame(&mut self, p: Val, skip: u8, w: u8, v: Val) {
        self.put(Op::StoreIn { p, skip, w, v });
    }
    fn clear_flags(&mut self, mask: u64) {
        self.put(Op::ClearFlags(mask));
    }
    fn pop_flags(&mut self, w: u8, v: Val) {
        self.put(Op::PopFlags { w, v });
    }
    fn stride(&mut self, w: u8) -> Val {
        self.put(Op::Stride(w))
    }
    fn fence(&mut self, _: &Insn) {
        self.put(Op::Fence);
    }
    fn jump_direct(&mut self, _: &Insn, why: Jump) -> Done {
        self.put(Op::JumpDirect(why));
        Ok(())
    }
    fn jump_indirect(&mut self, _: &Insn, why: Jump, to: Val) -> Done {
        self.put(Op::JumpIndirect(why, to));
        Ok(())
    }
    fn check_direct(&mut self, _: &Insn) -> Done {
        self.put(Op::CheckDirect);
        Ok(())
    }
    fn check_indirect(&mut self, _: &Insn, to: Val) -> Done {
        self.put(Op::CheckIndirect(to));
        Ok(())
    }
    fn branch(&mut self, _: &Insn, c: Val) -> Done {
        self.put(Op::Branch(c));
        Ok(())
    }
    fn branch_cond(&mut self, _: &Insn, c: Cond) -> Done {
        self.put(Op::BranchCond(c));
        Ok(())
    }
    fn raise(&mut self, _: Fault) -> Bail {
        self.refused = true;
        Bail::Fault
    }
    fn call(&mut self, _: &Insn, how: Call, f: Helper) -> Done {
        self.put(Op::Call { how, f });
        Ok(())
    }
    fn xmm(&mut self, r: u8) -> Val {
        self.put(Op::Xmm(r))
    }
    fn set_xmm(&mut self, r: u8, x: Val) {
        self.put(Op::SetXmm { r, x });
    }
    fn load_x(&mut self, _: &Insn, seg: u8, ea: Val, aligned: bool) -> Result<Val, Bail> {
        Ok(self.put(Op::LoadX { at: Place { seg, ea, w: 16 }, aligned }))
    }
    fn store_x(&mut self, _: &Insn, seg: u8, ea: Val, aligned: bool, x: Val) -> Done {
        self.put(Op::StoreX { at: Place { seg, ea, w: 16 }, aligned, x });
        Ok(())
    }
    fn x_low(&mut self, w: u8, x: Val) -> Val {
        self.put(Op::XLow { w, x })
    }
    fn x_high(&mut self, x: Val) -> Val {
        self.put(Op::XHigh(x))
    }
    fn x_from(&mut self, low: Val, high: Val) -> Val {
        self.put(Op::XFrom { low, high })
    }
    fn vec<M: VecOp>(&mut self, i: &Insn, a: Val, b: Val) -> Result<Val, Bail> {
        let native = vectors::encoding(i.code()).is_some() && !(M::FLOAT && self.key.unmasked_float());
        Ok(self.put(Op::Vec { f: M::run, native, flags: M::FLAGS, a, b }))
    }
    fn mmx(&mut self, r: u8) -> Val {
        self.put(Op::Mmx(r))
    }
    fn set_mmx(&mut self, r: u8, v: Val) {
        self.put(Op::SetMmx { r, v });
    }
    fn mmx_ready(&mut self, _: &Insn) -> Done {
        self.put(Op::MmxReady);
        Ok(())
    }
    fn mmx_enter(&mut self, _: &Insn) -> Done {
        self.put(Op::MmxEnter);
        Ok(())
    }
}
