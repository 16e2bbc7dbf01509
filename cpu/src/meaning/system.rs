//! Meanings that are one call of a helper: a list of which, how it ends, and where it is.

use super::tail;
use crate::{
    interp::string::{self, Op},
    meaning,
    ops::*,
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
    ($($how:ident: $name:ident = $op:ident;)*) => {
        meaning! { $(
            /// A string instruction without repetition: nothing to count, the block goes on.
            pub $name: end_of(Call::$how), (o, i) { o.call(i, Call::$how, |x, i| string::once(x, i, Op::$op)) }
        )* }
    };
}

strings! {
    Inline: MovsOnce = Movs;
    InlineFlags: CmpsOnce = Cmps;
    Inline: StosOnce = Stos;
    Inline: LodsOnce = Lods;
    InlineFlags: ScasOnce = Scas;
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
    /// POP to memory of a 286.
    PopMem286 = Inline tail::pop_mem_286;
    /// ESC without an x87.
    Escape = Step tail::escape;
    /// PUSHF in V86 mode, or of an 8086.
    PushfChecked = InlineFlags tail::pushf;
    /// POPF.
    Popf = Step tail::popf;
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
    /// INT n.
    IntN = Transfer tail::int_n;
    /// INT3.
    Int3 = Transfer tail::int3;
    /// INT1.
    Int1 = Transfer tail::int1;
    /// INTO.
    Into = Transfer tail::into;
    /// IRET.
    Iret = Transfer tail::iret;
    /// JMP FAR.
    JumpFar = Transfer tail::jump_far;
    /// CALL FAR.
    CallFar = Transfer tail::call_far;
    /// JMP FAR through memory.
    JumpFarMem = Transfer tail::jump_far_mem;
    /// CALL FAR through memory.
    CallFarMem = Transfer tail::call_far_mem;
    /// RETF.
    FarRet = Transfer tail::far_ret;
    /// MOV to a data segment register.
    MovToSeg = Segment tail::mov_to_seg;
    /// MOV to SS, or to CS of an 8086.
    MovToSs = Step tail::mov_to_seg;
    /// POP of a data segment register.
    PopSeg = Segment tail::pop_seg;
    /// POP SS.
    PopSs = Step tail::pop_seg;
    /// POP CS of an 8086.
    PopCs = Transfer tail::pop_cs;
    /// LES, LDS, LFS, LGS.
    LoadFarPointer = Segment tail::load_far_pointer;
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
