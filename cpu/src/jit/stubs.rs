//! The code around the blocks: entering and leaving, translation misses, calls of shared Rust code, the jump cache.
//!
//! Convention inside translated code: RBP is the processor, guest registers are where [`super::regs`] says, the stack is
//! the host's and 16-byte aligned.

use super::encode::{Asm, Label, Mem, R};
use super::host::Exact;
use super::jumps::{JUMPS, JumpEntry};
use super::passes::Incoming;
use super::regs::{
    BIAS, Convention, STACK_SPANS, STATE, TABLE, convention, field, state, vector_home, vector_temps,
};
use super::transcendental::{self, FORMS, Form};
use crate::mmu::table::{ARRAYS, Array, HELD, SECOND_SHIFT, array_displacement, is_key, second_displacement};
use crate::ops::Call;
use crate::state::Cpu;
use std::mem::offset_of;

/// Where a jump or call out of a block goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The interpreter is to go on at offset `exit_rip` of the page.
    Bail,
    /// The same, because the budget is used up.
    Budget,
    /// The same, and something has come up.
    Attention,
    /// A direct link that is not made yet: R14 its number, R15 the block.
    Link,
    /// Jump cache: RIP in R14.
    Jump,
    /// The jump cache has no code for the RIP in R14.
    JumpMiss,
    /// A direct jump to another page that is not linked yet: RIP in R14, number in R15 and block in R11.
    FarLink,
    /// Miss of a load or store of so many bytes. ZF set: try again.
    FillRead(u8),
    #[allow(missing_docs)]
    FillWrite(u8),
    /// Notes the stack's page, in which the linear address `fill` lies and whose delta has been stored, if it may be
    /// stored to directly. Keeps all registers but EFLAGS.
    NoteStack,
    /// Looks whether the second entry of its place has the page that the field `fill` is the address of, for execution: then it is the
    /// first, and ZF set. Keeps all registers.
    SecondCode,
    /// The same with the whole RIP in R14.
    Out,
    /// [`crate::ops::Helper`] in R14, instruction in R15, the block's instructions in R11.
    Helper(Call),
    /// The interpreter runs instruction R15 of the block's in R11.
    One,
    /// Vector code likewise.
    Vector,
    /// Makes the guest's vector registers and MXCSR the host's.
    VecLoad,
    /// Loads the guest's x87 state. ZF clear: it can't be.
    FpuLoad,
    /// The transcendental whose number is in R14, with the guest's x87 state in the unit. ZF clear: not done, all is as before.
    Shared(Form),
    /// The address of the block's instructions.
    Insns,
    /// The block's own descriptor.
    Block,
}

/// Why translated code came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[allow(missing_docs)]
pub enum Why {
    Bail = 0,
    Budget = 1,
    Attention = 2,
    Link = 3,
    Jump = 4,
    FarLink = 6,
}

impl Why {
    /// From the number that the exit stub returned.
    pub fn from(n: u64) -> Why {
        match n {
            1 => Why::Budget,
            2 => Why::Attention,
            3 => Why::Link,
            4 => Why::Jump,
            6 => Why::FarLink,
            _ => Why::Bail,
        }
    }
}

/// Rust functions that stubs call.
#[derive(Clone, Copy)]
pub struct Runtime {
    /// (processor, linear in `fill`, bytes, write) -> nonzero if it is now in the TLB.
    pub fill: usize,
    /// (processor, helper, instruction of R15, instructions) -> 0 go on, 1 fault, 2 go on outside after the instruction,
    /// 3 go on outside with this instruction (counted) or at another mode's or space's code (step, segment). By kind of call.
    pub helper: [usize; 5],
    /// The same for an instruction that the interpreter runs: 0 to 2. Unless it is 0, all that leaving takes is done.
    pub one: usize,
    /// The same for vector code.
    pub vector: usize,
    /// (processor) -> address of the code for the RIP in `exit_rip`, 0 if the dispatcher has to look.
    pub seek: usize,
    /// (processor) -> 1 if the image for FRSTOR is made, 0 if the host's unit can't serve.
    pub fpu_load: usize,
    /// (processor): takes the state from FNSAVE's image.
    pub fpu_store: usize,
    /// (processor, number of the transcendental) -> how to take the results in: see [`super::transcendental`].
    pub shared: usize,
}

/// Offsets of the stubs of one convention.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// `extern "sysv64" fn(cpu, code) -> why`
    pub enter: usize,
    vec_load: usize,
    vec_store: usize,
    fpu_load: usize,
    fpu_store: usize,
    shared: [usize; FORMS.len()],
    exits: [usize; 7],
    /// Where a jump with a recipe goes whose target needs the flags themselves: on to the jump's own code for that.
    pub refused: usize,
    jump: usize,
    seek: usize,
    fill: [usize; 2],
    note_stack: usize,
    second_code: usize,
    helper: [usize; 5],
    one: usize,
    vector: usize,
}

/// The stubs, and what lowering must know.
pub struct Stubs {
    /// Entries in a TLB table.
    pub tlb_size: usize,
    /// Which flags that the manual leaves undefined the host has as both engines define them.
    pub exact: Exact,
    /// For 64-bit code and for the rest.
    pub sets: [Set; 2],
}

impl Stubs {
    /// Where a target is, for code of a kind. Fill stubs differ by size too: `fill_size` gives it.
    pub fn find(&self, long: bool, t: Target) -> usize {
        let s = &self.sets[usize::from(!long)];
        match t {
            Target::Bail => s.exits[0],
            Target::Budget => s.exits[1],
            Target::Attention => s.exits[2],
            Target::Link => s.exits[3],
            Target::Jump => s.jump,
            Target::JumpMiss => s.seek,
            Target::FarLink => s.exits[6],
            Target::FillRead(w) => s.fill[0] + fill_entry(w),
            Target::FillWrite(w) => s.fill[1] + fill_entry(w),
            Target::NoteStack => s.note_stack,
            Target::SecondCode => s.second_code,
            Target::Out => s.exits[5],
            Target::Helper(how) => s.helper[kind(how)],
            Target::One => s.one,
            Target::Vector => s.vector,
            Target::VecLoad => s.vec_load,
            Target::FpuLoad => s.fpu_load,
            Target::Shared(form) => s.shared[form as usize],
            Target::Insns | Target::Block => unreachable!("not a stub"),
        }
    }
}

fn kind(how: Call) -> usize {
    match how {
        Call::Inline | Call::InlineFlags => 0,
        Call::Step => 1,
        Call::Transfer => 2,
        Call::Counted => 3,
        Call::Segment => 4,
    }
}

/// Each size has a small entry of its own before the shared body.
const FILL_ENTRY: usize = 16;

fn fill_entry(w: u8) -> usize {
    FILL_ENTRY
        * match w {
            1 => 0,
            2 => 1,
            4 => 2,
            8 => 3,
            _ => 4,
        }
}

/// The host registers that a called function may change and that hold guest state or temporaries.
pub const CALLER_SAVED: [R; 9] = [R::RAX, R::RCX, R::RDX, R::RSI, R::RDI, R::R8, R::R9, R::R10, R::R11];

/// Emits all stubs into `a`; offsets are from its start.
pub fn emit(a: &mut Asm, rt: Runtime, tlb_size: usize) -> Stubs {
    let sets = [emit_set(a, rt, tlb_size, true), emit_set(a, rt, tlb_size, false)];
    Stubs { tlb_size, exact: Exact::default(), sets }
}

fn mxcsr() -> Mem {
    state(offset_of!(Cpu, mxcsr))
}

fn load_mxcsr(a: &mut Asm, m: Mem) {
    a.sse(0, false, &[0x0f], 0xae, 2, m.into());
}
fn store_mxcsr(a: &mut Asm, m: Mem) {
    a.sse(0, false, &[0x0f], 0xae, 3, m.into());
}

/// Translated code that uses vectors loads the guest's vector registers and MXCSR first; whoever leaves or calls Rust
/// puts them back.
fn vector_load(a: &mut Asm, long: bool) {
    store_mxcsr(a, field::host_mxcsr());
    load_mxcsr(a, mxcsr());
    for r in 0..16 {
        if let Some(h) = vector_home(long, r) {
            a.sse(0, false, &[0x0f], 0x10, h, field::xmm(r).into());
        }
        if vector_temps(long) >> r & 1 != 0 {
            let m = field::plus(field::vec_temps(), 16 * i32::from(r));
            a.sse(0, false, &[0x0f], 0x10, r, m.into());
        }
    }
    a.store_imm(4, field::vec_on(), 1);
    a.ret();
}
fn vector_store(a: &mut Asm, long: bool) {
    store_mxcsr(a, mxcsr());
    load_mxcsr(a, field::host_mxcsr());
    for r in 0..16 {
        if let Some(h) = vector_home(long, r) {
            a.sse(0, false, &[0x0f], 0x11, h, field::xmm(r).into());
        }
        if vector_temps(long) >> r & 1 != 0 {
            let m = field::plus(field::vec_temps(), 16 * i32::from(r));
            a.sse(0, false, &[0x0f], 0x11, r, m.into());
        }
    }
    a.store_imm(4, field::vec_on(), 0);
    a.ret();
}

/// Takes the guest's x87 state out of the host's unit, which is as Rust expects it afterwards. Guest registers are in
/// memory; keeps R11 (and what functions keep).
fn fpu_store(a: &mut Asm, take: usize) {
    // FNSAVE [image]
    a.op(0, false, &[], 0xdd, 6, field::fpu_image().into(), false, false);
    a.store_imm(4, field::fpu_on(), 0);
    // However deep the stack is: align it.
    a.push(R::RBX);
    a.mov(8, R::RBX, R::RSP);
    a.push(R::R11);
    a.alu_imm(4, 8, R::RSP, -16);
    a.lea(8, R::RDI, state(0));
    a.mov_imm(R::RAX, take as u64);
    a.call_rm(R::RAX);
    a.load(8, R::R11, Mem::at(R::RBX, -8));
    a.mov(8, R::RSP, R::RBX);
    a.pop(R::RBX);
    a.ret();
}

/// Calls code at offset `to`, if the host's vector state is the guest's.
fn call_if_on(a: &mut Asm, to: usize) {
    call_if(a, field::vec_on(), to);
}

fn call_if(a: &mut Asm, flag: Mem, to: usize) {
    let skip = a.label();
    a.alu_imm(7, 4, flag, 0);
    a.jcc(4, skip);
    call_at(a, to);
    a.bind(skip);
}

fn call_at(a: &mut Asm, to: usize) {
    a.byte(0xe8);
    let rel = to as i64 - (a.here() as i64 + 4);
    a.bytes.extend((rel as i32).to_le_bytes());
}

fn load_guest(a: &mut Asm, c: &Convention) {
    for (g, h) in c.map.iter().enumerate() {
        if let Some(h) = h {
            a.load(8, *h, field::gpr(g as u8));
        }
    }
    a.load(8, TABLE, field::tlb());
}
fn store_guest(a: &mut Asm, c: &Convention) {
    for (g, h) in c.map.iter().enumerate() {
        if let Some(h) = h {
            a.store(8, field::gpr(g as u8), *h);
        }
    }
}

const CALLEE_SAVED: [R; 6] = [R::RBX, R::RBP, R::R12, R::R13, R::R14, R::R15];

fn emit_set(a: &mut Asm, rt: Runtime, tlb_size: usize, long: bool) -> Set {
    let c = convention(long);
    let mut s = Set::default();
    align(a);
    s.vec_load = a.here();
    vector_load(a, long);
    align(a);
    s.vec_store = a.here();
    vector_store(a, long);
    align(a);
    s.fpu_store = a.here();
    fpu_store(a, rt.fpu_store);
    align(a);
    s.enter = a.here();
    for r in CALLEE_SAVED {
        a.push(r);
    }
    // Six pushes and the return address: 8 more make the stack 16-byte aligned.
    a.push(R::RAX);
    a.lea(8, STATE, Mem::at(R::RDI, BIAS));
    a.mov(8, R::R11, R::RSI);
    // A jump from outside: RIP in R14.
    a.load(8, R::R14, field::exit_rip());
    // R11 is a temporary in both conventions.
    load_guest(a, &c);
    a.jmp_rm(R::R11);

    align(a);
    let out = a.label();
    for (k, at) in s.exits.iter_mut().enumerate() {
        *at = a.here();
        if k == 3 {
            // R14 link number, R15 block.
            a.store(8, field::link(), R::R14);
            a.store(8, field::fill(), R::R15);
        }
        if k == 6 {
            a.store(8, field::link(), R::R15);
            a.store(8, field::fill(), R::R11);
        }
        if k < 4 {
            // RIP = page + offset; the upper half of the offset is zero.
            a.load(4, R::R14, field::exit_rip());
            a.alu_r_rm(0, 8, R::R14, field::page_rip());
        }
        a.store(8, field::exit_rip(), R::R14);
        a.mov_imm(R::R15, if k == 5 { Why::Attention as u64 } else { k as u64 });
        a.jmp(out);
    }
    a.bind(out);
    store_guest(a, &c);
    call_if_on(a, s.vec_store);
    call_if(a, field::fpu_on(), s.fpu_store);
    a.mov(8, R::RAX, R::R15);
    a.pop(R::RCX);
    for r in CALLEE_SAVED.iter().rev() {
        a.pop(*r);
    }
    a.ret();

    align(a);
    s.refused = a.here();
    a.jmp_rm(R::R11);

    align(a);
    s.jump = a.here();
    let miss = a.label();
    look_up(a, miss, long, None);
    align(a);
    a.bind(miss);
    s.seek = a.here();
    seek(a, rt.seek, long, &s);

    for (k, at) in s.fill.iter_mut().enumerate() {
        align(a);
        *at = a.here();
        let body = a.label();
        for w in [1u64, 2, 4, 8, 16] {
            let start = a.here();
            a.push(R::RDX);
            a.mov_imm(R::RDX, w);
            a.jmp(body);
            while a.here() < start + FILL_ENTRY {
                a.byte(0x90);
            }
        }
        a.bind(body);
        second_entry(a, tlb_size, if k == 0 { Array::Read } else { Array::Write });
        // A page of a chip's that was asked for last: ZF clear, as from the call.
        let unknown = a.label();
        a.push(R::RAX);
        a.load(8, R::RAX, field::fill());
        a.alu_imm(4, 8, R::RAX, -4096);
        a.alu_r_rm(7, 8, R::RAX, field::unserved(k));
        a.pop(R::RAX);
        a.jcc(5, unknown);
        a.pop(R::RDX);
        a.test(8, R::RSP, R::RSP);
        a.ret();
        a.bind(unknown);
        // With the return address and RDX that is ten words: the stack is aligned again.
        let rest: Vec<R> = CALLER_SAVED.into_iter().filter(|r| *r != R::RDX).collect();
        for r in &rest {
            a.push(*r);
        }
        let (plain, back) = (a.label(), a.label());
        a.alu_imm(7, 4, field::vec_on(), 0);
        a.jcc(4, plain);
        call_at(a, s.vec_store);
        fill_call(a, rt.fill, k as u64);
        // Keeps RAX.
        call_at(a, s.vec_load);
        a.jmp(back);
        a.bind(plain);
        fill_call(a, rt.fill, k as u64);
        a.bind(back);
        // ZF set if it is there now. POP and MOV leave flags alone.
        a.alu_imm(7, 4, R::RAX, 1);
        for r in rest.iter().rev() {
            a.pop(*r);
        }
        a.pop(R::RDX);
        // The fill may have made the table.
        a.load(8, TABLE, field::tlb());
        a.ret();
    }
    align(a);
    s.note_stack = a.here();
    note_stack(a, tlb_size);
    align(a);
    s.second_code = a.here();
    a.push(R::RDX);
    a.mov_imm(R::RDX, 1);
    second_entry(a, tlb_size, Array::Execute);
    a.pop(R::RDX);
    a.test(8, R::RSP, R::RSP);
    a.ret();
    s.fpu_load = fpu_load(a, rt.fpu_load, &s);
    s.shared = FORMS.map(|form| {
        align(a);
        let at = a.here();
        transcendental::stub(a, form, |a| call_keeping_vectors(a, rt.shared, &s));
        at
    });
    let mut stub = |to, all| {
        let at = call_stub(a, &c, to, &s, all);
        a.ret();
        at
    };
    let helper = rt.helper.map(|f| stub(f, true));
    let vector = stub(rt.vector, false);
    s.helper = helper;
    s.vector = vector;
    s.one = one_stub(a, &c, rt.one, &s);
    s
}

/// Jumps to the code for RIP, in R14, if the jump cache has it, else to `miss`. R15 and R11 are free. Blocks have their
/// own copies, so that the host's branch prediction tells them apart. `recipe`: what [`JumpEntry::about`] is tested
/// against, and where to go, with the entry in R15, if the code there needs the flags themselves. `long`: for 64-bit code,
/// whose table is one space's.
pub fn look_up(a: &mut Asm, miss: Label, long: bool, recipe: Option<(u32, Label)>) {
    let gate = match recipe {
        Some((Incoming::ANY, refused)) if long => Some(refused),
        _ => None,
    };
    slot_address(a);
    a.alu_r_rm(7, 8, R::R14, entry_rip());
    a.jcc(5, miss);
    if let Some(refused) = gate {
        a.lea_label(R::R11, refused);
        a.jmp_rm(entry(offset_of!(JumpEntry, key)));
        return;
    }
    same_space(a, miss, long);
    if let Some((needs, refused)) = recipe {
        a.test_imm(4, entry(offset_of!(JumpEntry, about)), needs as i32);
        a.jcc(5, refused);
    }
    a.jmp_rm(entry_code());
}

/// Goes to `miss` if the entry in R15 is another space's. Destroys R11.
fn same_space(a: &mut Asm, miss: Label, long: bool) {
    if !long {
        a.load(8, R::R11, field::space());
        a.alu_r_rm(7, 8, R::R11, entry(offset_of!(JumpEntry, key)));
        a.jcc(5, miss);
    }
}

/// A field of the jump cache's entry in R15.
fn entry(at: usize) -> Mem {
    Mem::at(R::R15, at as i32)
}

/// Puts the address of the slot of RIP, in R14, into R15.
fn slot_address(a: &mut Asm) {
    const { assert!(JUMPS == 1 << 16) };
    a.movzx(2, R::R15, R::R14);
    a.shift_imm(4, 4, R::R15, size_of::<JumpEntry>().trailing_zeros() as u8);
    a.alu_r_rm(0, 8, R::R15, field::jumps());
}

/// The code of the jump cache's entry in R15.
pub fn entry_code() -> Mem {
    entry(offset_of!(JumpEntry, code))
}

/// Its RIP.
pub fn entry_rip() -> Mem {
    entry(offset_of!(JumpEntry, rip))
}

/// Where the first slot of the jump cache does not have the code for RIP, in R14: looks at the other one, then asks for it,
/// and goes there, or out. Temporaries are free.
fn seek(a: &mut Asm, to: usize, long: bool, s: &Set) {
    let (other, plain) = (a.label(), a.label());
    slot_address(a);
    a.alu_imm(6, 8, R::R15, size_of::<JumpEntry>() as i32);
    a.alu_r_rm(7, 8, R::R14, entry_rip());
    a.jcc(5, other);
    same_space(a, other, long);
    a.alu_imm(7, 4, field::recipe(), 0);
    a.jcc(4, plain);
    a.test_imm(4, entry(offset_of!(JumpEntry, about)), (1 << 20) - 1);
    a.jcc(5, other);
    a.bind(plain);
    a.jmp_rm(entry_code());
    a.bind(other);
    a.store(8, field::exit_rip(), R::R14);
    for r in CALLER_SAVED {
        a.push(r);
    }
    // Nine words: one more aligns the stack.
    a.push(R::R14);
    let found = a.label();
    call_keeping_vectors(a, to, s);
    a.mov(8, R::R15, R::RAX);
    a.pop(R::R14);
    for r in CALLER_SAVED.iter().rev() {
        a.pop(*r);
    }
    a.load(8, TABLE, field::tlb());
    a.test(8, R::R15, R::R15);
    a.jcc(5, found);
    jump_at(a, s.exits[4]);
    a.bind(found);
    a.jmp_rm(R::R15);
}

/// Loads the guest's x87 state into the host's unit; ZF set if that was possible. Keeps all registers.
fn fpu_load(a: &mut Asm, make: usize, s: &Set) -> usize {
    align(a);
    let at = a.here();
    for r in CALLER_SAVED {
        a.push(r);
    }
    // With the return address that is ten words.
    call_keeping_vectors(a, make, s);
    let done = a.label();
    a.alu_imm(7, 4, R::RAX, 1);
    a.jcc(5, done);
    // FRSTOR [image]; neither it nor MOV changes EFLAGS.
    a.op(0, false, &[], 0xdd, 4, field::fpu_image().into(), false, false);
    a.store_imm(4, field::fpu_on(), 1);
    a.bind(done);
    for r in CALLER_SAVED.iter().rev() {
        a.pop(*r);
    }
    a.ret();
    at
}

/// Calls `to(cpu, ...)`, around which guest vectors are put back if they are loaded. The result is in RAX.
fn call_keeping_vectors(a: &mut Asm, to: usize, s: &Set) {
    let (plain, back) = (a.label(), a.label());
    let call = |a: &mut Asm| {
        a.lea(8, R::RDI, state(0));
        a.mov_imm(R::RAX, to as u64);
        a.call_rm(R::RAX);
    };
    a.alu_imm(7, 4, field::vec_on(), 0);
    a.jcc(4, plain);
    call_at(a, s.vec_store);
    call(a);
    // Keeps RAX.
    call_at(a, s.vec_load);
    a.jmp(back);
    a.bind(plain);
    call(a);
    a.bind(back);
}

/// Where the second entry of the place allows the access (bytes in RDX) at the linear address that missed: exchanges both
/// entries and returns from the fill stub with ZF set. Keeps all registers.
fn second_entry(a: &mut Asm, tlb_size: usize, tag: Array) {
    let (miss, kept) = (a.label(), a.label());
    let (index, second) = (R::RCX, R::R11);
    let first = |k: usize| {
        let disp = array_displacement(k, tlb_size);
        Mem { base: Some(TABLE), index: Some((index, 3)), disp }
    };
    let other = |k: usize| Mem::at(second, second_displacement(tlb_size) + 8 * k as i32);
    a.push(R::RAX);
    a.push(R::RCX);
    a.load(8, R::RAX, field::fill());
    a.mov(4, R::RCX, R::RAX);
    a.alu_imm(4, 4, R::RCX, 4095);
    a.alu_rm_r(0, 4, R::RCX, R::RDX);
    a.alu_imm(7, 4, R::RCX, 4096);
    a.jcc(7, miss);
    a.bextr(index, R::RAX, TABLE);
    a.alu_imm(4, 8, R::RAX, -4096);
    a.alu_imm(1, 8, R::RAX, HELD as i32);
    a.alu_r_rm(7, 8, R::RAX, first(Array::Other as usize));
    a.jcc(5, miss);
    a.push(R::RDX);
    a.push(second);
    a.mov(8, second, index);
    a.shift_imm(4, 8, second, SECOND_SHIFT);
    a.alu_rm_r(0, 8, second, TABLE);
    a.alu_imm(6, 8, R::RAX, HELD as i32);
    a.alu_r_rm(7, 8, R::RAX, other(tag as usize));
    a.jcc(5, kept);
    let mut exchange = |x: Mem, y: Mem| {
        a.load(8, R::RAX, x);
        a.load(8, R::RDX, y);
        a.store(8, x, R::RDX);
        a.store(8, y, R::RAX);
    };
    (0..ARRAYS).filter(|k| !is_key(*k)).for_each(|k| exchange(first(k), other(k)));
    exchange(first(Array::Key as usize), first(Array::Other as usize));
    a.alu_rm_r(7, 4, R::RAX, R::RAX);
    for r in [second, R::RDX, R::RCX, R::RAX, R::RDX] {
        a.pop(r);
    }
    a.ret();
    a.bind(kept);
    a.pop(second);
    a.pop(R::RDX);
    a.bind(miss);
    a.pop(R::RCX);
    a.pop(R::RAX);
}

/// See [`Target::NoteStack`].
fn note_stack(a: &mut Asm, tlb_size: usize) {
    let out = a.label();
    a.push(R::RAX);
    a.push(R::RCX);
    (0..STACK_SPANS.len()).for_each(|k| a.store_imm(8, field::stack_limit(k), 0));
    a.load(8, R::RAX, field::fill());
    a.bextr(R::RCX, R::RAX, TABLE);
    a.alu_imm(4, 8, R::RAX, -4096);
    let disp = array_displacement(Array::Write as usize, tlb_size);
    a.alu_r_rm(7, 8, R::RAX, Mem { base: Some(TABLE), index: Some((R::RCX, 3)), disp });
    a.jcc(5, out);
    a.store(8, field::stack_page(), R::RAX);
    for (k, span) in STACK_SPANS.into_iter().enumerate() {
        a.store_imm(8, field::stack_limit(k), 4097 - span);
    }
    a.bind(out);
    a.pop(R::RCX);
    a.pop(R::RAX);
    a.ret();
}

/// Calls `fill(cpu, linear, bytes, write)`; bytes are in RDX.
fn fill_call(a: &mut Asm, fill: usize, write: u64) {
    a.lea(8, R::RDI, state(0));
    a.load(8, R::RSI, field::fill());
    a.mov_imm(R::RCX, write);
    a.mov_imm(R::RAX, fill as u64);
    a.call_rm(R::RAX);
}

/// R14 function, R15 instruction and flags, R11 instructions: calls `to(cpu, function, R15, R11)`, result in R14. Guest
/// vectors are put back before, and `all` else too; vector code finds them loaded again. RET is left to the caller.
fn call_stub(a: &mut Asm, c: &Convention, to: usize, s: &Set, all: bool) -> usize {
    align(a);
    let at = a.here();
    store_guest(a, c);
    call_if_on(a, s.vec_store);
    if all {
        call_if(a, field::fpu_on(), s.fpu_store);
    }
    // The return address is on the stack: align.
    a.push(R::RAX);
    a.lea(8, R::RDI, state(0));
    a.mov(8, R::RSI, R::R14);
    a.mov(8, R::RDX, R::R15);
    a.mov(8, R::RCX, R::R11);
    a.mov_imm(R::RAX, to as u64);
    a.call_rm(R::RAX);
    a.mov(8, R::R14, R::RAX);
    a.pop(R::RAX);
    if !all {
        call_at(a, s.vec_load);
    }
    load_guest(a, c);
    at
}

/// The same for an instruction of the interpreter's: leaves unless the next one may follow.
fn one_stub(a: &mut Asm, c: &Convention, to: usize, s: &Set) -> usize {
    let at = call_stub(a, c, to, s, true);
    let leaves = a.label();
    a.alu_imm(7, 4, R::R14, 1);
    a.jcc(3, leaves);
    a.ret();
    a.bind(leaves);
    // POP would do, but changes a register; neither changes EFLAGS.
    a.lea(8, R::RSP, Mem::at(R::RSP, 8));
    let fault = a.label();
    a.jcc(4, fault);
    jump_at(a, s.exits[Why::Attention as usize]);
    a.bind(fault);
    jump_at(a, s.exits[Why::Bail as usize]);
    at
}

fn jump_at(a: &mut Asm, to: usize) {
    a.byte(0xe9);
    let rel = to as i64 - (a.here() as i64 + 4);
    a.bytes.extend((rel as i32).to_le_bytes());
}

fn align(a: &mut Asm) {
    while !a.here().is_multiple_of(16) {
        a.byte(0xcc);
    }
}
