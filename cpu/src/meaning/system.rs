//! Meanings that are one call of a helper: a list of which, how it ends, and where it is.

use super::tail;
use crate::{
    insn::Insn,
    interp::string::{self, Op},
    meaning,
    ops::*,
    state::{Seg, flag, gpr},
};

macro_rules! helpers {
    ($($(#[$doc:meta])* $name:ident = $how:ident $f:path;)*) => {
        meaning! { $($(#[$doc])* pub $name: end_of(Call::$how), (o, i) { o.call(i, Call::$how, $f) })* }
    };
}

const fn end_of(how: Call) -> End {
    match how {
        Call::Inline | Call::InlineFlags | Call::Segment => End::No,
        Call::Step => End::Step,
        Call::Transfer => End::Transfer,
        Call::Counted => End::Counted,
    }
}

macro_rules! strings {
    ($($name:ident = $op:ident;)*) => {
        meaning! { $(
            /// A string instruction.
            pub $name: End::Counted, (o, i) { o.call(i, Call::Counted, |x, i| string::run(x, i, Op::$op)) }
        )* }
    };
}

const ES: u8 = Seg::Es as u8;
const RAX: u8 = gpr::RAX as u8;
const RSI: u8 = gpr::RSI as u8;
const RDI: u8 = gpr::RDI as u8;

/// The pointers go on to the next element.
#[inline(always)]
fn advance<O: Ops>(o: &mut O, i: &Insn, pointers: &[u8]) {
    let by = o.stride(i.size);
    for &r in pointers {
        let at = o.get(r, i.addr);
        let next = o.pure(Pure::Add, at, by);
        o.set(r, i.addr, next);
    }
}

// String instructions without repetition: nothing to count, the block goes on.
meaning! {
    /// MOVS.
    pub MovsOnce(o, i) {
        if o.string(i, Call::Inline, |x, i| string::once(x, i, Op::Movs))? {
            return Ok(());
        }
        let from = o.get(RSI, i.addr);
        let v = o.load(i, i.seg, from, i.size)?;
        let to = o.get(RDI, i.addr);
        o.store(i, ES, to, i.size, v)?;
        advance(o, i, &[RSI, RDI]);
        Ok(())
    }
    /// STOS.
    pub StosOnce(o, i) {
        if o.string(i, Call::Inline, |x, i| string::once(x, i, Op::Stos))? {
            return Ok(());
        }
        let v = o.get(RAX, i.size);
        let to = o.get(RDI, i.addr);
        o.store(i, ES, to, i.size, v)?;
        advance(o, i, &[RDI]);
        Ok(())
    }
    /// LODS.
    pub LodsOnce(o, i) {
        if o.string(i, Call::Inline, |x, i| string::once(x, i, Op::Lods))? {
            return Ok(());
        }
        let from = o.get(RSI, i.addr);
        let v = o.load(i, i.seg, from, i.size)?;
        o.set(RAX, i.size, v);
        advance(o, i, &[RSI]);
        Ok(())
    }
    /// SCAS.
    pub ScasOnce(o, i) {
        if o.string(i, Call::InlineFlags, |x, i| string::once(x, i, Op::Scas))? {
            return Ok(());
        }
        let at = o.get(RDI, i.addr);
        let b = o.load(i, ES, at, i.size)?;
        let a = o.get(RAX, i.size);
        o.alu(Alu::Sub, i.size, a, b);
        advance(o, i, &[RDI]);
        Ok(())
    }
    /// CMPS.
    pub CmpsOnce(o, i) {
        if o.string(i, Call::InlineFlags, |x, i| string::once(x, i, Op::Cmps))? {
            return Ok(());
        }
        let at = o.get(RSI, i.addr);
        let a = o.load(i, i.seg, at, i.size)?;
        let at = o.get(RDI, i.addr);
        let b = o.load(i, ES, at, i.size)?;
        o.alu(Alu::Sub, i.size, a, b);
        advance(o, i, &[RSI, RDI]);
        Ok(())
    }
}

strings! {
    Movs = Movs;
    Cmps = Cmps;
    Stos = Stos;
    Lods = Lods;
    Scas = Scas;
    Ins = Ins;
    Outs = Outs;
}

/// The halves of a far pointer of four bytes: offset and selector.
#[inline(always)]
fn halves<O: Ops>(o: &mut O, v: O::V) -> (O::V, O::V) {
    let low = o.zext(2, v);
    let by = o.imm(16);
    (low, o.pure(Pure::Shr, v, by))
}

/// The far pointer in an instruction.
#[inline(always)]
fn named<O: Ops>(o: &mut O, i: &Insn) -> (O::V, O::V) {
    let ip = o.imm(i.imm & 0xffff);
    (ip, o.imm(i.imm >> 32 & 0xffff))
}

/// The far pointer of two 16-bit halves that is the memory operand.
#[inline(always)]
fn far_operand<O: Ops>(o: &mut O, i: &Insn) -> Result<(O::V, O::V), Bail> {
    let ea = o.ea(i);
    let v = o.load(i, i.seg, ea, 4)?;
    Ok(halves(o, v))
}

/// The address of the next instruction as a far pointer.
#[inline(always)]
fn far_here<O: Ops>(o: &mut O, i: &Insn) -> O::V {
    let cs = o.selector(Seg::Cs as u8);
    let by = o.imm(16);
    let cs = o.pure(Pure::Shl, cs, by);
    let ip = o.next_ip(i);
    o.pure(Pure::Or, cs, ip)
}

meaning! {
    /// MOV to a data segment register.
    pub MovToSeg: end_of(Call::Segment), (o, i) {
        if !o.spells(i, System::Segment(i.dst)) {
            return o.call(i, Call::Segment, tail::mov_to_seg);
        }
        let v = if i.is_mem() {
            let ea = o.ea(i);
            o.load(i, i.seg, ea, 2)?
        } else {
            o.get(i.src, 2)
        };
        o.set_segment(i.dst, v);
        Ok(())
    }
    /// POP of a data segment register.
    pub PopSeg: end_of(Call::Segment), (o, i) {
        if !o.spells(i, System::Segment(i.dst)) {
            return o.call(i, Call::Segment, tail::pop_seg);
        }
        let v = o.top(i, 2)?;
        o.set_segment(i.dst, v);
        let sp = o.sp(i, i32::from(i.size));
        o.set_sp(i, sp);
        Ok(())
    }
    /// LES, LDS, LFS, LGS.
    pub LoadFarPointer: end_of(Call::Segment), (o, i) {
        if !o.spells(i, System::Segment(i.third)) {
            return o.call(i, Call::Segment, tail::load_far_pointer);
        }
        let (offset, selector) = if i.size == 2 {
            far_operand(o, i)?
        } else {
            let ea = o.ea(i);
            let offset = o.load(i, i.seg, ea, i.size)?;
            let ea = o.ea(i);
            let by = o.imm(u64::from(i.size));
            let ea = o.pure(Pure::Add, ea, by);
            let ea = o.zext(i.addr, ea);
            (offset, o.load(i, i.seg, ea, 2)?)
        };
        o.set_segment(i.third, selector);
        o.set(i.dst, i.size, offset);
        Ok(())
    }
    /// JMP FAR.
    pub JumpFar: end_of(Call::Transfer), (o, i) {
        if !o.spells(i, System::Far) {
            return o.call(i, Call::Transfer, tail::jump_far);
        }
        o.check_far();
        let (ip, cs) = named(o, i);
        o.jump_far(cs, ip);
        Ok(())
    }
    /// JMP FAR through memory.
    pub JumpFarMem: end_of(Call::Transfer), (o, i) {
        if !o.spells(i, System::Far) {
            return o.call(i, Call::Transfer, tail::jump_far_mem);
        }
        let (ip, cs) = far_operand(o, i)?;
        o.check_far();
        o.jump_far(cs, ip);
        Ok(())
    }
    /// CALL FAR.
    pub CallFar: end_of(Call::Transfer), (o, i) {
        if !o.spells(i, System::Far) {
            return o.call(i, Call::Transfer, tail::call_far);
        }
        o.check_far();
        // At once: that it lies in one piece is for the store to find out.
        let here = far_here(o, i);
        o.push(i, 4, here)?;
        let (ip, cs) = named(o, i);
        o.jump_far(cs, ip);
        Ok(())
    }
    /// CALL FAR through memory.
    pub CallFarMem: end_of(Call::Transfer), (o, i) {
        if !o.spells(i, System::Far) {
            return o.call(i, Call::Transfer, tail::call_far_mem);
        }
        let (ip, cs) = far_operand(o, i)?;
        o.check_far();
        // At once: that it lies in one piece is for the store to find out.
        let here = far_here(o, i);
        o.push(i, 4, here)?;
        o.jump_far(cs, ip);
        Ok(())
    }
    /// RETF.
    pub FarRet: end_of(Call::Transfer), (o, i) {
        if !o.spells(i, System::Far) {
            return o.call(i, Call::Transfer, tail::far_ret);
        }
        let v = o.top(i, 4)?;
        o.check_far();
        let (ip, cs) = halves(o, v);
        let sp = o.sp(i, 4 + i32::from(i.imm as u16));
        o.set_sp(i, sp);
        o.jump_far(cs, ip);
        Ok(())
    }
    /// INT n.
    pub IntN: end_of(Call::Transfer), (o, i) {
        if !o.spells(i, System::Interrupt) {
            return o.call(i, Call::Transfer, tail::int_n);
        }
        o.check_far();
        let entry = o.vector(i.imm as u8);
        let sp = o.sp(i, -6);
        let p = o.frame(Seg::Ss as u8, sp, 6);
        let status = o.flags();
        let rest = o.system_flags();
        let image = o.pure(Pure::Or, status, rest);
        o.store_in_frame(p, 4, 2, image);
        let here = far_here(o, i);
        o.store_in_frame(p, 0, 4, here);
        let sp = o.sp(i, -6);
        o.set_sp(i, sp);
        o.clear_flags(flag::IF | flag::TF | flag::AC | flag::RF);
        let (ip, cs) = halves(o, entry);
        o.jump_far(cs, ip);
        Ok(())
    }
    /// IRET.
    pub Iret: end_of(Call::Transfer), (o, i) {
        if !o.spells(i, System::Interrupt) {
            return o.call(i, Call::Transfer, tail::iret);
        }
        let v = o.top(i, 4)?;
        let sp = o.sp(i, 4);
        let image = o.load(i, Seg::Ss as u8, sp, 2)?;
        o.check_far();
        o.check_iret();
        o.pop_flags(2, image);
        let sp = o.sp(i, 6);
        o.set_sp(i, sp);
        let (ip, cs) = halves(o, v);
        o.jump_far(cs, ip);
        Ok(())
    }
    /// POPF.
    pub Popf: end_of(Call::Step), (o, i) {
        if !o.spells(i, System::Flags(i.size)) {
            return o.call(i, Call::Step, tail::popf);
        }
        let v = o.top(i, i.size)?;
        o.pop_flags(i.size, v);
        let sp = o.sp(i, i32::from(i.size));
        o.set_sp(i, sp);
        Ok(())
    }
}

helpers! {
    /// AAA.
    Aaa = InlineFlags tail::aaa;
    /// AAS.
    Aas = InlineFlags tail::aas;
    /// DAA.
    Daa = InlineFlags tail::daa;
    /// DAS.
    Das = InlineFlags tail::das;
    /// AAM.
    Aam = InlineFlags tail::aam;
    /// AAD.
    Aad = InlineFlags tail::aad;
    /// Shifts of an 8086.
    Shift8086 = InlineFlags tail::shift_8086;
    /// Division of an 8086.
    Div8086 = Transfer tail::div_8086;
    /// INT of an 8086, whose image of the flags has more bits set.
    IntN8086 = Transfer tail::int_n;
    /// IRET of an 8086.
    Iret8086 = Transfer tail::iret;
    /// POPF of an 8086.
    Popf8086 = Step tail::popf;
    /// POP to memory of a 286.
    PopMem286 = Inline tail::pop_mem_286;
    /// ESC without an x87.
    Escape = Step tail::escape;
    /// PUSHF in V86 mode, or of an 8086.
    PushfChecked = InlineFlags tail::pushf;
    /// CLI: nothing can come of it, so the block goes on.
    Cli = Inline tail::cli;
    /// STI.
    Sti = Step tail::sti;
    /// HLT.
    Hlt = Step tail::hlt;
    /// PUSHA.
    Pusha = Inline tail::pusha;
    /// POPA.
    Popa = Inline tail::popa;
    /// ENTER.
    Enter = Inline tail::enter;
    /// BOUND.
    Bound = Inline tail::bound;
    /// CMPXCHG8B.
    CmpXchg8b = InlineFlags tail::cmpxchg8b;
    /// CMPXCHG16B.
    CmpXchg16b = InlineFlags tail::cmpxchg16b;
    /// IN: what a chip brings about is looked at as after an access to one in memory.
    In = Inline tail::port_in;
    /// OUT.
    Out = Inline tail::port_out;
    /// INT3.
    Int3 = Transfer tail::int3;
    /// INT1.
    Int1 = Transfer tail::int1;
    /// INTO.
    Into = Transfer tail::into;
    /// MOV to SS, or to CS of an 8086.
    MovToSs = Step tail::mov_to_seg;
    /// POP SS.
    PopSs = Step tail::pop_seg;
    /// POP CS of an 8086.
    PopCs = Transfer tail::pop_cs;
    /// LSS.
    Lss = Step tail::load_far_pointer;
    /// LGDT, LIDT.
    LoadTable = Step tail::load_table;
    /// SGDT, SIDT.
    StoreTable = Inline tail::store_table;
    /// SLDT.
    Sldt = Inline tail::sldt;
    /// STR.
    Str = Inline tail::store_tr;
    /// SMSW.
    Smsw = Inline tail::smsw;
    /// LLDT.
    Lldt = Step tail::lldt;
    /// LTR.
    Ltr = Step tail::ltr;
    /// LMSW.
    Lmsw = Step tail::lmsw;
    /// VERR.
    Verr = InlineFlags tail::verr;
    /// VERW.
    Verw = InlineFlags tail::verw;
    /// LAR.
    Lar = InlineFlags tail::lar;
    /// LSL.
    Lsl = InlineFlags tail::lsl;
    /// ARPL.
    Arpl = InlineFlags tail::arpl;
    /// MOV from a control register.
    MovFromCr = Inline tail::mov_from_cr;
    /// MOV to a control register.
    MovToCr = Step tail::mov_to_cr;
    /// MOV from a debug register.
    MovFromDr = Step tail::mov_from_dr;
    /// MOV to a debug register.
    MovToDr = Step tail::mov_to_dr;
    /// CLTS.
    Clts = Step tail::clts;
    /// INVLPG.
    Invlpg = Inline tail::invlpg;
    /// INVPCID.
    Invpcid = Inline tail::invpcid;
    /// INVD, WBINVD.
    Wbinvd = Inline tail::wbinvd;
    /// MONITOR.
    Monitor = Inline tail::monitor;
    /// MWAIT.
    Mwait = Step tail::mwait;
    /// RDTSC.
    Rdtsc = Inline tail::rdtsc;
    /// RDTSCP.
    Rdtscp = Inline tail::rdtscp;
    /// RDPMC.
    Rdpmc = Inline tail::rdpmc;
    /// RDMSR.
    Rdmsr = Step tail::rdmsr;
    /// WRMSR.
    Wrmsr = Step tail::wrmsr;
    /// CPUID.
    Cpuid = Inline tail::cpuid;
    /// SWAPGS.
    Swapgs = Step tail::swapgs;
    /// SYSCALL.
    Syscall = Transfer tail::syscall;
    /// SYSRET.
    Sysret = Transfer tail::sysret;
    /// SYSENTER.
    Sysenter = Transfer tail::sysenter;
    /// SYSEXIT.
    Sysexit = Transfer tail::sysexit;
    /// XGETBV.
    Xgetbv = Inline tail::xgetbv;
    /// XSETBV.
    Xsetbv = Step tail::xsetbv;
    /// RDFSBASE, RDGSBASE.
    ReadBase = Inline tail::read_base;
    /// WRFSBASE, WRGSBASE.
    WriteBase = Step tail::write_base;
    /// CLAC, STAC.
    SetAc = Step tail::set_ac;
    /// RSM.
    Rsm = Transfer tail::rsm;
    /// #UD.
    Undefined = Transfer tail::undefined;
    /// RDRAND, RDSEED.
    Random = InlineFlags tail::random;
    /// RDPID.
    Rdpid = Inline tail::rdpid;
}
