//! The register stack and what each instruction does to it: operands, tags, stack faults, condition codes, the
//! exception summary. Each method is one instruction (or one family) after its memory operand has been read and any
//! pending exception been reported; none can fail: exceptions end up in the status word.
//!
//! Follows Intel SDM volume 1, section 8.1 (registers), 8.5.1 (stack faults) and volume 2 per instruction.

use super::float::{Num, ex};
use super::soft::{self, Arith, INDEFINITE, Out, Relation, Stored};
use super::transcendental as tr;
use super::{Operand, condition, quotient_condition, sw};
use crate::state::{F80, Fpu};

/// One.
pub const ONE: F80 = F80 { mant: 1 << 63, se: 0x3fff };

/// The constants that FLD1 and its kin load.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Const {
    One,
    L2t,
    L2e,
    Pi,
    Lg2,
    Ln2,
    Zero,
}

/// The operations on ST(0), or ST(0) and ST(1), that take no operand.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    Chs,
    Abs,
    Sqrt,
    Rndint,
    Sin,
    Cos,
    F2xm1,
    Scale,
    Prem,
    Prem1,
}

/// A store that is computed but not yet done: value bits for memory, then [`Fpu::complete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Pending {
    /// What to write, unless `blocked`.
    pub bits: u64,
    /// An unmasked exception: memory and stack stay as they are.
    pub blocked: bool,
    flags: u16,
}

impl Fpu {
    /// Physical number of ST(0).
    #[inline(always)]
    pub fn top(&self) -> usize {
        usize::from(self.sw >> 11 & 7)
    }

    #[inline(always)]
    fn phys(&self, i: u8) -> usize {
        (self.top() + usize::from(i)) & 7
    }

    /// Whether ST(i) is empty.
    #[inline(always)]
    pub fn is_empty(&self, i: u8) -> bool {
        self.tag >> self.phys(i) & 1 == 0
    }

    /// ST(i), whatever its tag.
    #[inline(always)]
    pub fn st(&self, i: u8) -> F80 {
        self.regs[self.phys(i)]
    }

    /// Write ST(i) and tag it as full.
    #[inline(always)]
    pub fn set_st(&mut self, i: u8, v: F80) {
        let p = self.phys(i);
        self.regs[p] = v;
        self.tag |= 1 << p;
    }

    fn set_top(&mut self, top: usize) {
        self.sw = self.sw & !sw::TOP | (top as u16 & 7) << 11;
    }

    /// Free ST(0) and increment TOP.
    #[inline(always)]
    pub fn pop(&mut self) {
        let top = self.top();
        self.tag &= !(1 << top);
        self.set_top(top + 1);
    }

    #[inline(always)]
    fn push(&mut self, v: F80) {
        self.set_top(self.top() + 7);
        self.set_st(0, v);
    }

    fn pop_n(&mut self, n: u8) {
        for _ in 0..n {
            self.pop();
        }
    }

    /// Set exception flags, C1 (from `flags`) and the summary.
    #[inline(always)]
    fn post(&mut self, flags: u16) {
        self.sw = self.sw & !sw::C1 | flags;
        if self.sw & !self.cw & ex::ALL != 0 {
            self.sw |= sw::ES | sw::B;
        }
    }

    fn set_cc(&mut self, cc: u16) {
        self.sw = self.sw & !(sw::C0 | sw::C2 | sw::C3) | cc;
    }

    /// Make ES and B agree with flags and masks.
    pub fn summarise(&mut self) {
        self.sw &= !(sw::ES | sw::B);
        if self.sw & !self.cw & ex::ALL != 0 {
            self.sw |= sw::ES | sw::B;
        }
    }

    /// An exception waits to be reported.
    #[inline(always)]
    pub fn pending(&self) -> bool {
        self.sw & sw::ES != 0
    }

    fn invalid_masked(&self) -> bool {
        self.cw & ex::IE != 0
    }

    /// Stack underflow (C1 clear): true if the masked response is due.
    #[cold]
    fn underflow(&mut self) -> bool {
        self.post(ex::IE | sw::SF);
        self.invalid_masked()
    }

    /// Stack overflow (C1 set): true if the masked response is due.
    #[cold]
    fn overflow(&mut self) -> bool {
        self.post(ex::IE | sw::SF | sw::C1);
        self.invalid_masked()
    }

    /// Deliver a result to ST(i).
    #[inline(always)]
    fn deliver(&mut self, i: u8, out: Out) -> bool {
        self.post(out.flags);
        if out.blocked(self.cw) {
            return false;
        }
        self.set_st(i, out.val);
        true
    }

    // ---- control ----

    /// FNINIT.
    pub fn init(&mut self) {
        *self = Fpu { regs: self.regs, ..Fpu::default() };
    }

    /// FLDCW.
    pub fn load_control(&mut self, cw: u16) {
        self.cw = cw & 0x1f7f | 0x40;
        self.summarise();
    }

    /// FNCLEX.
    pub fn clear_exceptions(&mut self) {
        self.sw &= !(ex::ALL | sw::SF | sw::ES | sw::B);
    }

    /// FFREE ST(i).
    pub fn free(&mut self, i: u8) {
        self.tag &= !(1 << self.phys(i));
        self.sw &= !sw::C1;
    }

    /// FINCSTP (`by` 1), FDECSTP (`by` 7).
    pub fn rotate(&mut self, by: usize) {
        self.set_top(self.top() + by);
        self.sw &= !sw::C1;
    }

    // ---- loads ----

    /// FLD m32, FLD m64.
    pub fn load(&mut self, n: Num) {
        if !self.is_empty(7) {
            if self.overflow() {
                self.push(INDEFINITE);
            }
            return;
        }
        // An unmasked denormal exception comes after the load.
        let out = soft::load(n);
        self.post(out.flags);
        if out.flags & !self.cw & ex::IE == 0 {
            self.push(out.val);
        }
    }

    /// FLD m80, FILD, FBLD: no exception but a full stack.
    #[inline]
    pub fn load_ext(&mut self, v: F80) {
        if !self.is_empty(7) {
            if self.overflow() {
                self.push(INDEFINITE);
            }
            return;
        }
        self.post(0);
        self.push(v);
    }

    /// FLD ST(i).
    #[inline]
    pub fn load_st(&mut self, i: u8) {
        if self.is_empty(i) {
            if self.underflow() {
                self.push(INDEFINITE);
            }
            return;
        }
        self.load_ext(self.st(i));
    }

    /// FLD1, FLDPI, ...
    pub fn load_const(&mut self, c: Const) {
        use super::float::Round;
        let rc = soft::rounding(self.cw);
        let up = rc == Round::Up;
        let chopped = matches!(rc, Round::Down | Round::Zero);
        let v = match c {
            Const::One => ONE,
            Const::Zero => F80::default(),
            Const::L2t => F80 { mant: 0xd49a_784b_cd1b_8afe + u64::from(up), se: 0x4000 },
            Const::L2e => F80 { mant: 0xb8aa_3b29_5c17_f0bc - u64::from(chopped), se: 0x3fff },
            Const::Pi => F80 { mant: 0xc90f_daa2_2168_c235 - u64::from(chopped), se: 0x4000 },
            Const::Lg2 => F80 { mant: 0x9a20_9a84_fbcf_f799 - u64::from(chopped), se: 0x3ffd },
            Const::Ln2 => F80 { mant: 0xb172_17f7_d1cf_79ac - u64::from(chopped), se: 0x3ffe },
        };
        self.load_ext(v);
    }

    // ---- stores ----

    #[inline(always)]
    fn pending_store(&self, indefinite: u64, f: impl FnOnce(&F80) -> Stored) -> Pending {
        if self.is_empty(0) {
            return Pending { bits: indefinite, blocked: !self.invalid_masked(), flags: ex::IE | sw::SF };
        }
        let s = f(&self.regs[self.top()]);
        Pending { bits: s.bits, blocked: s.blocked(self.cw), flags: s.flags }
    }

    /// FST m32: what to store.
    pub fn store_f32(&self) -> Pending {
        self.pending_store(0xffc0_0000, |a| super::store_f32(a, self.cw, self.sw))
    }

    /// FST m64.
    pub fn store_f64(&self) -> Pending {
        self.pending_store(0xfff8_0000_0000_0000, |a| super::store_f64(a, self.cw, self.sw))
    }

    /// FIST m16, m32, m64 (`bits`); FISTTP if `truncate`.
    pub fn store_int(&self, bits: u32, truncate: bool) -> Pending {
        let cw = if truncate { self.cw | 0xc00 } else { self.cw };
        self.pending_store(1 << (bits - 1), |a| {
            let s = super::store_int(a, bits, cw, self.sw);
            if truncate { Stored { flags: s.flags & !sw::C1, ..s } } else { s }
        })
    }

    /// FSTP m80: the value, and how to complete.
    pub fn store_ext(&self) -> (F80, Pending) {
        if self.is_empty(0) {
            let p = Pending { bits: 0, blocked: !self.invalid_masked(), flags: ex::IE | sw::SF };
            return (INDEFINITE, p);
        }
        (self.st(0), Pending { bits: 0, blocked: false, flags: 0 })
    }

    /// FBSTP.
    pub fn store_bcd(&self) -> ([u8; 10], Pending) {
        if self.is_empty(0) {
            let p = Pending { bits: 0, blocked: !self.invalid_masked(), flags: ex::IE | sw::SF };
            return ([0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff], p);
        }
        let (bytes, flags) = soft::store_bcd(self.st(0), self.cw);
        let blocked = flags & !self.cw & ex::IE != 0;
        (bytes, Pending { bits: 0, blocked, flags })
    }

    /// After the store: flags, and the pop.
    pub fn complete(&mut self, p: Pending, pop: bool) {
        self.post(p.flags);
        if pop && !p.blocked {
            self.pop();
        }
    }

    /// FST ST(i), FSTP ST(i).
    pub fn store_st(&mut self, i: u8, pop: bool) {
        let v = if self.is_empty(0) {
            if !self.underflow() {
                return;
            }
            INDEFINITE
        } else {
            self.post(0);
            self.st(0)
        };
        self.set_st(i, v);
        if pop {
            self.pop();
        }
    }

    /// FSTPNCE ST(i) (D9 D8+i): as FSTP, but an empty ST(0) is just popped, without an exception.
    pub fn store_st_quietly(&mut self, i: u8) {
        self.sw &= !sw::C1;
        if !self.is_empty(0) {
            self.set_st(i, self.st(0));
        }
        self.pop();
    }

    /// FXCH ST(i).
    pub fn exchange(&mut self, i: u8) {
        if self.is_empty(0) || self.is_empty(i) {
            if !self.underflow() {
                return;
            }
            for j in [0, i] {
                if self.is_empty(j) {
                    self.set_st(j, INDEFINITE);
                }
            }
        } else {
            self.post(0);
        }
        let (a, b) = (self.st(0), self.st(i));
        self.set_st(0, b);
        self.set_st(i, a);
    }

    /// FCMOVcc: ST(0) = ST(i) if `condition`. C1 stays unless the stack faults.
    pub fn conditional_move(&mut self, i: u8, condition: bool) {
        if self.is_empty(0) || self.is_empty(i) {
            if self.underflow() {
                self.set_st(0, INDEFINITE);
            }
            return;
        }
        if condition {
            self.set_st(0, self.st(i));
        }
    }

    // ---- arithmetic ----

    /// ST(dst) = ST(dst) op ST(src), and pop.
    #[inline(always)]
    pub fn arith_st(&mut self, op: Arith, dst: u8, src: u8, pop: bool) {
        let (d, s) = (self.phys(dst), self.phys(src));
        if self.tag >> d & self.tag >> s & 1 == 0 {
            return self.arith_empty(dst, pop);
        }
        #[cfg(target_arch = "x86_64")]
        if super::on_host(self.cw) {
            let flags = super::host::arith_regs(op, &mut self.regs, d, s, self.cw, self.sw);
            self.sw = self.sw & !sw::C1 | flags;
            if pop {
                self.pop();
            }
            return;
        }
        self.arith_soft(op, dst, Operand::Ext(self.st(src)), pop);
    }

    #[cold]
    fn arith_empty(&mut self, dst: u8, pop: bool) {
        if self.underflow() {
            self.set_st(dst, INDEFINITE);
            if pop {
                self.pop();
            }
        }
    }

    #[inline(never)]
    fn arith_soft(&mut self, op: Arith, dst: u8, src: Operand, pop: bool) {
        let out = soft::arith(op, Num::from_f80(self.st(dst)), src.num(), self.cw);
        if self.deliver(dst, out) && pop {
            self.pop();
        }
    }

    /// ST(0) = ST(0) op memory.
    #[inline(always)]
    pub fn arith_mem(&mut self, op: Arith, src: Operand) {
        if self.is_empty(0) {
            return self.arith_empty(0, false);
        }
        #[cfg(target_arch = "x86_64")]
        if super::on_host(self.cw) {
            let (d, cw, sw) = (self.top(), self.cw, self.sw);
            let flags = match src {
                Operand::M32(v) => super::host::arith_reg_m32(op, &mut self.regs, d, v, cw, sw),
                Operand::M64(v) => super::host::arith_reg_m64(op, &mut self.regs, d, v, cw, sw),
                Operand::Ext(v) => {
                    let out = super::host::arith(op, &self.regs[d], &v, cw, sw);
                    self.set_st(0, out.val);
                    out.flags
                }
            };
            self.sw = self.sw & !sw::C1 | flags;
            return;
        }
        self.arith_soft(op, 0, src, false);
    }

    /// The relation, and whether an unmasked exception keeps the stack as it is.
    fn relation(&mut self, other: Option<Operand>, quiet: bool) -> (Relation, bool) {
        let Some(b) = other.filter(|_| !self.is_empty(0)) else {
            return (Relation::Unordered, !self.underflow());
        };
        let (r, flags) = super::compare(self.st(0), b, quiet);
        self.post(flags);
        (r, flags & !self.cw & ex::PRE != 0)
    }

    fn register(&self, i: u8) -> Option<Operand> {
        (!self.is_empty(i)).then(|| Operand::Ext(self.st(i)))
    }

    fn compare_with(&mut self, other: Option<Operand>, quiet: bool, pops: u8) {
        let (r, blocked) = self.relation(other, quiet);
        self.set_cc(condition(r));
        if !blocked {
            self.pop_n(pops);
        }
    }

    /// FCOM, FUCOM with ST(i) and their popping forms.
    pub fn compare_st(&mut self, i: u8, quiet: bool, pops: u8) {
        self.compare_with(self.register(i), quiet, pops);
    }

    /// FCOM, FICOM with memory.
    pub fn compare_mem(&mut self, other: Operand, pops: u8) {
        self.compare_with(Some(other), false, pops);
    }

    /// FTST.
    pub fn test(&mut self) {
        self.compare_with(Some(Operand::Ext(F80::default())), false, 0);
    }

    /// FCOMI, FUCOMI: ZF, PF, CF as bits of RFLAGS. C1 stays unless the stack faults.
    pub fn compare_flags(&mut self, i: u8, quiet: bool, pop: bool) -> u64 {
        use crate::state::flag;
        let c1 = self.sw & sw::C1;
        let faults = self.is_empty(0) || self.is_empty(i);
        let (r, blocked) = self.relation(self.register(i), quiet);
        if !faults {
            self.sw |= c1;
        }
        if pop && !blocked {
            self.pop();
        }
        match r {
            Relation::Greater => 0,
            Relation::Less => flag::CF,
            Relation::Equal => flag::ZF,
            Relation::Unordered => flag::CF | flag::PF | flag::ZF,
        }
    }

    /// FXAM.
    pub fn examine(&mut self) {
        let a = self.st(0);
        let cc = if self.is_empty(0) { sw::C3 | sw::C0 } else { soft::examine(a) };
        self.set_cc(cc);
        self.sw = self.sw & !sw::C1 | if a.se >> 15 != 0 { sw::C1 } else { 0 };
    }

    /// FCHS, FABS, FSQRT, FRNDINT, FSIN, FCOS, F2XM1, FSCALE, FPREM, FPREM1.
    pub fn unary(&mut self, op: Unary) {
        if matches!(op, Unary::Sin | Unary::Cos | Unary::Prem | Unary::Prem1) {
            self.sw &= !sw::C2;
        }
        let two = matches!(op, Unary::Scale | Unary::Prem | Unary::Prem1);
        if self.is_empty(0) || two && self.is_empty(1) {
            if self.underflow() {
                self.set_st(0, INDEFINITE);
            }
            return;
        }
        let a = self.st(0);
        let out = match op {
            Unary::Chs => Out::exact(F80 { se: a.se ^ 0x8000, ..a }),
            Unary::Abs => Out::exact(F80 { se: a.se & 0x7fff, ..a }),
            Unary::Sqrt => super::sqrt(a, self.cw, self.sw),
            Unary::Rndint => super::round_to_integral(a, self.cw, self.sw),
            Unary::F2xm1 => tr::f2xm1(a, self.cw),
            Unary::Scale => soft::scale(a, self.st(1), self.cw),
            Unary::Sin | Unary::Cos => return self.trigonometric(a, op == Unary::Sin),
            Unary::Prem | Unary::Prem1 => return self.remainder(a, op == Unary::Prem1),
        };
        self.deliver(0, out);
    }

    fn trigonometric(&mut self, a: F80, sine: bool) {
        match if sine { tr::sin(a, self.cw) } else { tr::cos(a, self.cw) } {
            None => self.out_of_range(),
            Some(r) => {
                self.deliver(0, r);
            }
        }
    }

    /// Operand of 2^63 or more: C2 set, nothing else happens.
    fn out_of_range(&mut self) {
        self.post(0);
        self.sw |= sw::C2;
    }

    fn remainder(&mut self, a: F80, nearest: bool) {
        let r = soft::remainder(a, self.st(1), nearest, self.cw);
        let Rem { out, quotient, partial } = r;
        // A NaN leaves C0 and C3 as they were.
        let nan = out.val.se & 0x7fff == 0x7fff;
        if self.deliver(0, out) && !nan {
            self.sw &= !sw::CC;
            self.sw |= if partial { sw::C2 } else { quotient_condition(quotient) };
        }
    }

    /// The stack conditions of instructions that replace ST(0) and push another value: true if they may go on.
    fn room_for_two(&mut self) -> bool {
        let masked = if self.is_empty(0) {
            self.underflow()
        } else if !self.is_empty(7) {
            self.overflow()
        } else {
            return true;
        };
        if masked {
            self.set_st(0, INDEFINITE);
            self.push(INDEFINITE);
        }
        false
    }

    /// C1 is about the value that replaces ST(0).
    fn deliver_two(&mut self, below: Out, above: Out) {
        self.post(below.flags | above.flags & ex::ALL);
        if !below.blocked(self.cw) && !above.blocked(self.cw) {
            self.set_st(0, below.val);
            self.push(above.val);
        }
    }

    /// FSINCOS.
    pub fn sincos(&mut self) {
        self.sw &= !sw::C2;
        if self.room_for_two() {
            match tr::sincos(self.st(0), self.cw) {
                None => self.out_of_range(),
                Some((s, c)) => self.deliver_two(s, c),
            }
        }
    }

    /// FPTAN.
    pub fn tan(&mut self) {
        self.sw &= !sw::C2;
        if self.room_for_two() {
            match tr::tan(self.st(0), self.cw) {
                None => self.out_of_range(),
                Some(t) if t.val.se & 0x7fff == 0x7fff => self.deliver_two(t, Out::exact(t.val)),
                Some(t) => self.deliver_two(t, Out::exact(ONE)),
            }
        }
    }

    /// FXTRACT.
    pub fn extract(&mut self) {
        if self.room_for_two() {
            let (significand, exponent) = soft::extract(self.st(0));
            self.deliver_two(Out { val: exponent, flags: significand.flags }, Out::exact(significand.val));
        }
    }

    /// FPATAN, FYL2X, FYL2XP1: ST(1) = f(ST(1), ST(0)), pop.
    pub fn binary(&mut self, f: fn(F80, F80, u16) -> Out) {
        let done = if self.is_empty(0) || self.is_empty(1) {
            let masked = self.underflow();
            if masked {
                self.set_st(1, INDEFINITE);
            }
            masked
        } else {
            let out = f(self.st(1), self.st(0), self.cw);
            self.deliver(1, out)
        };
        if done {
            self.pop();
        }
    }
}

use super::soft::Rem;
