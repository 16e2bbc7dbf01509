//! Instructions a second of the interpreter on three small 64-bit programs.
#[path = "../tests/rig/mod.rs"]
mod rig;
use iced_x86::code_asm::*;
use lucid86_cpu::{interp, state::gpr};
use rig::Rig;

fn rig64() -> Rig {
    let mut r = Rig::new("x86-64-v2", 512);
    r.long(0, 0x10_0000);
    r.put64(0x10_0000, 0x10_1003);
    r.put64(0x10_1000, 0x10_2003);
    r.put64(0x10_2000, 0x83);
    r.cpu.rip = 0x1000;
    r.cpu.gpr[gpr::RSP] = 0x8000;
    r
}

fn time(name: &str, f: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>) {
    let mut a = CodeAssembler::new(64).expect("assembler");
    f(&mut a).expect("program");
    let code = a.assemble(0x1000).expect("assembled");
    let mut r = rig64();
    r.mem.write_physical(0x1000, &code);
    let t = cpu_time();
    let mut x = r.exec();
    x.limit = 1_000_000_000;
    let stop = interp::run(&mut x);
    let count = x.count;
    let s = cpu_time() - t;
    println!("{name:8} {stop:?} {count} in {s:.2} s: {:.0} million a second", count as f64 / s / 1e6);
}

fn main() {
    let which = std::env::args().nth(1).unwrap_or_default();
    let want = |n: &str| which.is_empty() || which == n;
    if want("fib") {
        time("fib", |a| {
            let mut fib = a.create_label();
            let mut small = a.create_label();
            a.mov(edi, 35)?;
            a.call(fib)?;
            a.hlt()?;
            a.set_label(&mut fib)?;
            a.cmp(edi, 2)?;
            a.jb(small)?;
            a.push(rbx)?;
            a.push(rbp)?;
            a.mov(ebx, edi)?;
            a.lea(edi, ptr(rbx - 1))?;
            a.call(fib)?;
            a.mov(ebp, eax)?;
            a.lea(edi, ptr(rbx - 2))?;
            a.call(fib)?;
            a.add(eax, ebp)?;
            a.pop(rbp)?;
            a.pop(rbx)?;
            a.ret()?;
            a.set_label(&mut small)?;
            a.mov(eax, edi)?;
            a.ret()
        });
    }
    if want("sieve") {
        time("sieve", |a| {
            let mut again = a.create_label();
            let mut outer = a.create_label();
            let mut inner = a.create_label();
            let mut next = a.create_label();
            let mut clear = a.create_label();
            a.mov(r8d, 200)?;
            a.set_label(&mut again)?;
            a.mov(edi, 0x2_0000)?;
            a.xor(eax, eax)?;
            a.set_label(&mut clear)?;
            a.mov(byte_ptr(rdi + rax), 0)?;
            a.inc(eax)?;
            a.cmp(eax, 0x8_0000)?;
            a.jne(clear)?;
            a.mov(ecx, 2)?;
            a.set_label(&mut outer)?;
            a.cmp(byte_ptr(rdi + rcx), 0)?;
            a.jne(next)?;
            a.lea(edx, ptr(rcx + rcx))?;
            a.set_label(&mut inner)?;
            a.mov(byte_ptr(rdi + rdx), 1)?;
            a.add(edx, ecx)?;
            a.cmp(edx, 0x8_0000)?;
            a.jb(inner)?;
            a.set_label(&mut next)?;
            a.inc(ecx)?;
            a.cmp(ecx, 0x1000)?;
            a.jb(outer)?;
            a.dec(r8d)?;
            a.jne(again)?;
            a.hlt()
        });
    }
    if want("mix") {
        time("mix", |a| {
            let mut top = a.create_label();
            a.mov(edi, 0x2_0000)?;
            a.mov(ecx, 40_000_000)?;
            a.set_label(&mut top)?;
            a.mov(rax, rcx)?;
            a.shl(rax, 3)?;
            a.xor(rax, rcx)?;
            a.movzx(edx, al)?;
            a.mov(rbx, qword_ptr(rdi + rdx * 8))?;
            a.add(rbx, rax)?;
            a.mov(qword_ptr(rdi + rdx * 8), rbx)?;
            a.add(dword_ptr(rdi + rdx * 4 + 0x8000), eax)?;
            a.imul_2(rbx, rax)?;
            a.ror(ebx, 7)?;
            a.adc(rsi, rbx)?;
            a.test(esi, 8)?;
            a.cmovne(rbp, rsi)?;
            a.sub(ecx, 1)?;
            a.jne(top)?;
            a.hlt()
        });
    }
}

/// Processor time of this process in seconds: the machine may be shared.
fn cpu_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields.get(11).and_then(|t| t.parse().ok()).unwrap_or(0.0);
    ticks / 100.0
}
