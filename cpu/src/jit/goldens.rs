//! Golden listings: what the translator makes of typical guest code, so that a change of code quality is seen in review.
//! Accept new ones with `INSTA_UPDATE=always cargo test -p lucid86-cpu goldens` and read the difference.

use super::builder::Builder;
use super::encode::Asm;
use super::host::Exact;
use super::lower::{self, Entry, lower};
use super::stubs::{self, Runtime};
use super::{Turn, Way};
use crate::decode;
use crate::insn::{Insn, ModeKey};
use crate::interp::Handlers;
use crate::model::CpuModel;
use iced_x86::code_asm::*;
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, NasmFormatter};
use std::fmt::Write;

/// User mode with SSE, all segments flat: 64-bit and 32-bit code.
const LONG: ModeKey = ModeKey(2 | 2 << 2 | 3 << 4 | 1 << 8 | 0xf << 9 | 1 << 15 | 1 << 19);
/// Real mode.
const REAL: ModeKey = ModeKey(1 << 6);
const FLAT32: ModeKey = ModeKey(1 | 1 << 2 | 3 << 4 | 0x3f << 9 | 1 << 15 | 1 << 19);

fn code(bits: u32, f: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    let mut a = CodeAssembler::new(bits).expect("a code size");
    f(&mut a).expect("an encoding");
    a.assemble(0x100).expect("code")
}

fn disassemble(s: &mut String, bits: u32, bytes: &[u8], at: u64) {
    let mut decoder = Decoder::with_ip(bits, bytes, at, DecoderOptions::NONE);
    let (mut i, mut formatter) = (Instruction::default(), NasmFormatter::new());
    while decoder.can_decode() {
        decoder.decode_out(&mut i);
        let mut text = String::new();
        formatter.format(&i, &mut text);
        let _ = writeln!(s, "  {text}");
    }
}

/// Guest code, micro-operations, and the host code of the hot path. A conditional jump before the end is one that a trace
/// doesn't take; it goes on over calls, to what is behind them, and their returns.
fn listing(key: ModeKey, bytes: &[u8], exact: Exact, entry: Entry) -> String {
    let model = CpuModel::parse("x86-64-v2").expect("a model");
    let mut insns: Vec<Insn> = Vec::new();
    let mut builder = Builder::default();
    builder.key = key;
    let (mut at, mut calls) = (0, Vec::new());
    while at < bytes.len() {
        let off = 0x100 + at as u16;
        let (_, i, _) = decode::with(Handlers, &bytes[at..], off, key, &model).expect("an instruction");
        assert!(builder.add(insns.len() as u16, &i), "lowered");
        if i.code().is_jcc_short_or_near() && at + usize::from(i.len) < bytes.len() {
            let exit = (i64::from(off) + i64::from(i.len) + lower::displacement(&i)) as u16;
            builder.go_on(Turn { n: insns.len() as u16, way: Way::Next(exit), hop: None });
        }
        let (n, next) = (insns.len() as u16, i32::from(off) + i32::from(i.len));
        if at + usize::from(i.len) < bytes.len() {
            if i.code().is_call_near() {
                calls.push(next);
                builder.go_on(Turn { n, way: Way::Target(0), hop: None });
            } else if let iced_x86::FlowControl::Return = i.code().flow_control()
                && let Some(to) = calls.pop()
            {
                builder.go_on(Turn { n, way: Way::Back(to), hop: None });
            }
        }
        at += usize::from(i.len);
        insns.push(i);
    }
    let mut asm = Asm::default();
    let none =
        Runtime { fill: 0, helper: [0; 5], one: 0, seek: 0, vector: 0, fpu_load: 0, fpu_store: 0, shared: 0 };
    let mut stubs = stubs::emit(&mut asm, none, 2048);
    stubs.exact = exact;
    let ends = matches!(insns.last().map(Insn::code), Some(c) if {
        use iced_x86::FlowControl as F;
        matches!(c.flow_control(), F::ConditionalBranch | F::UnconditionalBranch | F::Return | F::Call)
    });
    let lowered = lower(&insns, &builder.ops, key, ends, entry, &stubs);
    let lowered = lowered.unwrap_or_else(|r| panic!("instruction {} refused", r.0));
    let mut s = "guest\n".to_owned();
    disassemble(&mut s, key.bits(), bytes, 0x100);
    s += "micro-operations\n";
    for op in &builder.ops {
        let _ = writeln!(s, "  {}", op.name());
    }
    s += "host\n";
    disassemble(&mut s, 64, &lowered.bytes[lowered.sure..lowered.hot], lowered.sure as u64);
    s
}

macro_rules! golden {
    (@ $name:ident, $key:expr, $exact:expr, $entry:expr, $f:expr) => {
        insta::assert_snapshot!(stringify!($name), listing($key, &code($key.bits(), $f), $exact, $entry))
    };
    ($name:ident, $key:expr, $f:expr) => {
        golden!($name, $key, Exact::all(true), $f);
    };
    ($name:ident, $key:expr, $exact:expr, $f:expr) => {
        #[test]
        fn $name() {
            golden!(@ $name, $key, $exact, Entry::default(), $f);
        }
    };
}

golden!(load_add_store, LONG, |a| {
    a.mov(rax, ptr(rdi + rcx * 8 + 16))?;
    a.add(rax, rdx)?;
    a.mov(ptr(rdi + rcx * 8 + 16), rax)
});
golden!(add_to_memory, LONG, |a| a.add(dword_ptr(rbx + 4), 5));
golden!(registers_in_memory, LONG, |a| {
    a.add(r15, r14)?;
    a.mov(r11d, ptr(r10 + r9))
});
golden!(compare_and_branch, LONG, |a| {
    a.cmp(eax, ebx)?;
    a.jb(0x104)
});
golden!(call_and_frame, LONG, |a| {
    a.push(rbp)?;
    a.mov(rbp, rsp)?;
    a.call(0x180)
});
golden!(return_from_call, LONG, |a| {
    a.pop(rbp)?;
    a.ret()
});
golden!(flags_dead_and_live, LONG, |a| {
    a.add(eax, 1)?;
    a.sub(ebx, 2)?;
    a.adc(ecx, edx)
});
golden!(shifts_and_products, LONG, |a| {
    a.shl(eax, 3)?;
    a.imul_3(rdx, rsi, 24)?;
    a.shr(rdx, cl)
});
golden!(shifts_where_undefined_flags_differ, LONG, Exact::all(false), |a| {
    a.shl(eax, 3)?;
    a.mov(ecx, ptr(rdi))?;
    a.rol(edx, 7)?;
    a.mov(ecx, ptr(rsi))?;
    a.shr(rdx, cl)
});
golden!(compare_exchange, LONG, |a| a.lock().cmpxchg(dword_ptr(rdi), ecx));
golden!(trace, LONG, |a| {
    a.mov(rax, ptr(rdi))?;
    a.test(rax, rax)?;
    a.je(0x180)?;
    a.add(rcx, ptr(rax))?;
    a.dec(edx)?;
    a.jne(0x100)
});
golden!(product_before_a_load, LONG, Exact::all(false), |a| {
    a.add(eax, 5)?;
    a.imul_2(rdx, rax)?;
    a.mov(ecx, ptr(rdi))?;
    a.cmp(ecx, edx)
});
golden!(probes_shared_across_a_product, LONG, |a| {
    a.movsx(ecx, word_ptr(rax))?;
    a.add(rax, 0x30)?;
    a.imul_2(ecx, edx)?;
    a.movsx(ebx, word_ptr(rax))
});
golden!(register_in_memory_used_again, LONG, |a| {
    a.mov(r9d, ecx)?;
    a.xor(r9d, edx)?;
    a.and(r9d, eax)?;
    a.add(esi, r9d)
});
golden!(scalar_doubles, LONG, |a| {
    a.movsd_2(xmm0, qword_ptr(rdi))?;
    a.mulsd(xmm0, xmm1)?;
    a.addsd(xmm2, xmm0)?;
    a.movsd_2(qword_ptr(rdi), xmm2)
});
golden!(packed_integers, LONG, |a| {
    a.movdqa(xmm1, xmmword_ptr(rsi))?;
    a.paddd(xmm1, xmm3)?;
    a.pslld(xmm1, 5)
});
golden!(x87_product, FLAT32, |a| {
    a.fld(qword_ptr(esi))?;
    a.fmul(qword_ptr(edi))?;
    a.faddp(st1, st0)
});
golden!(stack_of_32_bits, FLAT32, |a| {
    a.push(eax)?;
    a.pop(edx)
});
golden!(call_in_real_mode, REAL, |a| a.call(cx));
golden!(condition_after_a_rotation, LONG, Exact::all(false), |a| {
    a.sub(edx, ebx)?;
    a.rol(ecx, 7)?;
    a.sets(dl)?;
    a.cmovns(ebx, ecx)
});
golden!(table_looked_up_by_bytes, LONG, |a| {
    a.movzx(eax, dl)?;
    a.xor(ecx, ptr(rdi + rax * 4))?;
    a.movzx(eax, dh)?;
    a.xor(ecx, ptr(rdi + rax * 4))
});
golden!(indices_of_32_bits, LONG, |a| {
    a.lea(edx, ptr(rsi + rcx))?;
    a.movzx(eax, byte_ptr(rdi + rdx))?;
    a.inc(edx)?;
    a.mov(byte_ptr(rdi + rdx), al)
});
golden!(indices_outside_long_mode, FLAT32, |a| {
    a.movzx(eax, byte_ptr(edi + ebx))?;
    a.inc(ebx)?;
    a.mov(byte_ptr(edi + ebx), al)
});
golden!(call_through_a_register, LONG, |a| {
    a.cmp(rcx, rdx)?;
    a.call(rax)
});
golden!(list, LONG, |a| {
    a.mov(rdx, ptr(rdx))?;
    a.test(rdx, rdx)?;
    a.jne(0x100)
});
golden!(array_on_the_stack, LONG, |a| a.add(ecx, ptr(rsp + rax * 4 + 16)));
golden!(relative_to_rip, LONG, |a| {
    let mut there = a.create_label();
    a.add(eax, dword_ptr(there))?;
    a.set_label(&mut there)?;
    a.nop()
});
golden!(fixed_addresses, FLAT32, |a| {
    a.mov(eax, ptr(0x4568))?;
    a.mov(ecx, ptr(0xc0de_0010u32))
});
golden!(wide_constant, LONG, |a| {
    a.mov(edx, eax)?;
    a.add(eax, ebx)?;
    a.mov(byte_ptr(rdi + rdx), 0)?;
    a.cmp(eax, 0x1f_ffff)?;
    a.jbe(0x100)
});
golden!(table_in_a_register_in_memory, LONG, |a| {
    a.movzx(eax, byte_ptr(r9 + rcx))?;
    a.movzx(edx, byte_ptr(r9 + rcx + 1))
});

/// What is relative to RIP, and the address to return to, where the code is made for one RIP.
#[test]
fn at_its_place() {
    let entry = Entry { extends: true, placed: Some(0x40_2000), ..Entry::default() };
    golden!(@ at_its_place, LONG, Exact::all(true), entry, |a| {
        let mut there = a.create_label();
        a.add(eax, dword_ptr(there))?;
        a.set_label(&mut there)?;
        a.call(0x2100)
    });
}

/// A function that only loads its return address, and one that stores before it returns.
#[test]
fn calls_in_a_trace() {
    let entry = Entry { extends: true, placed: Some(0x40_2000), ..Entry::default() };
    golden!(@ calls_in_a_trace, FLAT32, Exact::all(true), entry, |a| {
        let (mut first, mut second) = (a.create_label(), a.create_label());
        a.call(first)?;
        a.set_label(&mut first)?;
        a.mov(edx, ptr(esp))?;
        a.ret()?;
        a.add(edx, 0x1000)?;
        a.mov(ptr(edx + 0x1230), ebx)?;
        a.call(second)?;
        a.set_label(&mut second)?;
        a.mov(ptr(ecx), eax)?;
        a.ret()?;
        a.nop()
    });
}
