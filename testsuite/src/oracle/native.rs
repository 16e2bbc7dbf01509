//! Running a few bytes of code on the host's own processor, in 64-bit mode or, through Linux's 32-bit code segment, in
//! compatibility mode. x86-64 Linux only.
//!
//! Memory is mapped at fixed addresses ([`super::state`]). A small program made here loads all registers and jumps to the code;
//! the code ends in a breakpoint or a fault, both of which come back as signals; the handler writes down the registers that the
//! kernel saved and lets the thread go on at the end of the small program. Signal frames: Linux,
//! arch/x86/include/uapi/asm/sigcontext.h.
#![allow(unsafe_code)]

use super::state::{CODE, CS32, CS64, DATA, DATA_LEN, Ending, FIXED, KERNEL, SS, State};
use iced_x86::code_asm::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the handler and the small program meet.
#[repr(C)]
struct Meeting {
    gpr: [u64; 16],
    rflags: u64,
    rip: u64,
    cs: u64,
    host_rsp: u64,
    active: u64,
    vector: u64,
    code: u64,
    address: u64,
    finish: u64,
    mxcsr: u64,
    pad: [u64; 38],
    image: [u8; 512],
}

/// Out of reach of a bit offset or a stack frame from the data, and of numbers with few bits.
const MEETING: u64 = 0x5a3c_7000;
const PROGRAM: u64 = MEETING + 0x1000;
/// The small program for 32-bit code.
const NARROW: u64 = PROGRAM + 0x800;
const PAGE: usize = 4096;
const SIGNALS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
const STACK: usize = 64 << 10;

/// One at a time: the addresses are fixed and the handlers are the process's.
static ONE: Mutex<()> = Mutex::new(());

/// The host's processor, ready to run code.
pub struct Native {
    before: Vec<libc::sigaction>,
    stack_before: libc::stack_t,
    _stack: Box<[u8]>,
    /// Where the small programs end, for 32-bit and for 64-bit code.
    finish: [u64; 2],
    /// Whether 32-bit code runs here: some hosts' kernels have no segment for it.
    pub narrow: bool,
    _one: MutexGuard<'static, ()>,
}

fn map(at: u64, len: usize, prot: i32) -> Result<(), String> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: fresh anonymous pages; MAP_FIXED_NOREPLACE never takes the place of a mapping that exists.
    let p = unsafe { libc::mmap(at as *mut libc::c_void, len, prot, flags, -1, 0) };
    if p as u64 == at {
        Ok(())
    } else if p == libc::MAP_FAILED {
        Err(format!("no memory at {at:x}: {}", std::io::Error::last_os_error()))
    } else {
        Err(format!("the host put memory for {at:x} elsewhere"))
    }
}

/// The program that loads the registers and jumps. `wide`: to 64-bit code. Returns where it ends.
fn program(a: &mut CodeAssembler, wide: bool) -> Result<CodeLabel, IcedError> {
    let m = |offset: usize| qword_ptr(MEETING + offset as u64);
    for r in [rbx, rbp, r12, r13, r14, r15] {
        a.push(r)?;
    }
    a.mov(m(std::mem::offset_of!(Meeting, host_rsp)), rsp)?;
    a.fxrstor64(byte_ptr(MEETING + std::mem::offset_of!(Meeting, image) as u64))?;
    if !wide {
        a.mov(eax, u32::from(SS))?;
        a.mov(ds, eax)?;
        a.mov(es, eax)?;
    }
    a.mov(m(std::mem::offset_of!(Meeting, active)), 1)?;
    a.mov(rsp, MEETING + std::mem::offset_of!(Meeting, rflags) as u64)?;
    a.popfq()?;
    let regs = [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];
    for (i, r) in regs.into_iter().enumerate() {
        a.mov(r, m(8 * i))?;
    }
    let target = MEETING + std::mem::offset_of!(Meeting, rip) as u64;
    if wide {
        a.jmp(qword_ptr(target))?;
    } else {
        // The low half of `rip`, then `cs` from the word behind it: the offset is kept in the upper half.
        a.jmp(fword_ptr(target + 4))?;
    }
    let mut finish = a.create_label();
    a.set_label(&mut finish)?;
    a.mov(rsp, m(std::mem::offset_of!(Meeting, host_rsp)))?;
    a.cld()?;
    a.fninit()?;
    a.ldmxcsr(dword_ptr(MEETING + std::mem::offset_of!(Meeting, mxcsr) as u64))?;
    if !wide {
        a.xor(eax, eax)?;
        a.mov(ds, eax)?;
        a.mov(es, eax)?;
    }
    for r in [r15, r14, r13, r12, rbp, rbx] {
        a.pop(r)?;
    }
    a.ret()?;
    Ok(finish)
}

fn assemble(wide: bool, at: u64) -> Result<(Vec<u8>, u64), String> {
    let make = || -> Result<(Vec<u8>, u64), IcedError> {
        let mut a = CodeAssembler::new(64)?;
        let finish = program(&mut a, wide)?;
        let done = a.assemble_options(at, iced_x86::BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
        let end = done.label_ip(&finish)?;
        Ok((done.inner.code_buffer, end))
    };
    make().map_err(|e| e.to_string())
}

/// Writes down the registers at the signal and goes on at the end of the small program.
extern "C" fn handler(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the meeting page is mapped while the handler is installed, the kernel's context is whole, nobody else uses them.
    unsafe {
        let m = &mut *(MEETING as *mut Meeting);
        let u = &mut *context.cast::<libc::ucontext_t>();
        if m.active == 0 {
            // Not ours: let it happen again without us.
            libc::signal(signal, libc::SIG_DFL);
            return;
        }
        m.active = 0;
        let g = &mut u.uc_mcontext.gregs;
        let order = [
            libc::REG_RAX,
            libc::REG_RCX,
            libc::REG_RDX,
            libc::REG_RBX,
            libc::REG_RSP,
            libc::REG_RBP,
            libc::REG_RSI,
            libc::REG_RDI,
            libc::REG_R8,
            libc::REG_R9,
            libc::REG_R10,
            libc::REG_R11,
            libc::REG_R12,
            libc::REG_R13,
            libc::REG_R14,
            libc::REG_R15,
        ];
        for (to, from) in m.gpr.iter_mut().zip(order) {
            *to = g[from as usize] as u64;
        }
        m.rflags = g[libc::REG_EFL as usize] as u64;
        m.rip = g[libc::REG_RIP as usize] as u64;
        m.cs = g[libc::REG_CSGSFS as usize] as u64 & 0xffff;
        m.vector = g[libc::REG_TRAPNO as usize] as u64;
        m.code = g[libc::REG_ERR as usize] as u64;
        m.address = g[libc::REG_CR2 as usize] as u64;
        let image = u.uc_mcontext.fpregs.cast::<[u8; 512]>();
        if !image.is_null() {
            m.image = *image;
        }
        g[libc::REG_RIP as usize] = m.finish as i64;
        g[libc::REG_EFL as usize] = 0x202;
        g[libc::REG_CSGSFS as usize] = g[libc::REG_CSGSFS as usize] & !0xffff | i64::from(CS64);
    }
}

impl Native {
    /// Makes ready. The error says why this host can't.
    pub fn new() -> Result<Native, String> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, write, exec) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        map(MEETING, PAGE, read | write)?;
        map(PROGRAM, PAGE, read | write | exec)?;
        map(CODE, PAGE, read | write | exec)?;
        map(DATA, DATA_LEN, read | write)?;
        map(FIXED, PAGE, read)?;
        let (wide, finish) = assemble(true, PROGRAM)?;
        let (narrow, finish32) = assemble(false, NARROW)?;
        // All pages are touched here, so that a first touch is no fault later.
        // SAFETY: the pages were mapped just now, and no more than half of the programs' page is written for each of them.
        unsafe {
            std::ptr::copy_nonoverlapping(wide.as_ptr(), PROGRAM as *mut u8, wide.len().min(0x800));
            std::ptr::copy_nonoverlapping(narrow.as_ptr(), NARROW as *mut u8, narrow.len().min(0x800));
            std::ptr::write_bytes(CODE as *mut u8, 0xcc, PAGE);
            std::ptr::write_bytes(DATA as *mut u8, 0, DATA_LEN);
            std::ptr::read_volatile(FIXED as *const u8);
            let m = &mut *(MEETING as *mut Meeting);
            m.mxcsr = 0x1f80;
        }
        let mut n = Native {
            before: Vec::new(),
            // SAFETY: plain data for which zeros are a value.
            stack_before: unsafe { std::mem::zeroed() },
            _stack: vec![0; STACK].into_boxed_slice(),
            finish: [finish32, finish],
            narrow: false,
            _one: one,
        };
        n.install();
        // The page is full of breakpoints.
        let probe = State { rip: CODE, rflags: 0x202, cw: 0x37f, mxcsr: 0x1f80, ..State::default() };
        let (after, end) = n.run(&probe, false);
        n.narrow = end.vector == 3 && after.rip == CODE + 1;
        Ok(n)
    }

    fn install(&mut self) {
        // SAFETY: the stack lives as long as `self`, whose drop puts the former one back; SA_SIGINFO asks for such a handler.
        unsafe {
            let stack = libc::stack_t { ss_sp: self._stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK };
            libc::sigaltstack(&stack, &mut self.stack_before);
            for s in SIGNALS {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handler as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                let mut before = std::mem::zeroed();
                libc::sigaction(s, &action, &mut before);
                self.before.push(before);
            }
        }
    }

    /// The bytes of [`CODE`].
    pub fn code(&mut self) -> &mut [u8] {
        // SAFETY: mapped as long as `self` lives, and borrowed from it.
        unsafe { std::slice::from_raw_parts_mut(CODE as *mut u8, PAGE) }
    }

    /// The bytes of [`DATA`].
    pub fn data(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(DATA as *mut u8, DATA_LEN) }
    }

    /// Runs from `before.rip` until a breakpoint or a fault. Code there must not call the kernel nor change FS.
    pub fn run(&mut self, before: &State, wide: bool) -> (State, Ending) {
        let entry = if wide { PROGRAM } else { NARROW };
        // What the code does ends in the handler, which comes back here.
        // SAFETY: the meeting page is mapped and only this thread uses it; the program at `entry` keeps the calling convention.
        unsafe {
            let m = &mut *(MEETING as *mut Meeting);
            m.gpr = before.gpr;
            m.rflags = before.rflags;
            m.image = before.image();
            m.finish = self.finish[usize::from(wide)];
            if wide {
                m.rip = before.rip;
            } else {
                m.rip = before.rip << 32;
                m.cs = u64::from(CS32);
            }
            let enter: extern "C" fn() = std::mem::transmute(entry);
            enter();
            let m = &*(MEETING as *const Meeting);
            let mut after = State { gpr: m.gpr, rip: m.rip, rflags: m.rflags, ..State::default() };
            after.take_image(&m.image);
            let fault = m.vector == 14;
            let address = if fault { m.address } else { 0 };
            let mut code = m.code as u32;
            if fault && address >= KERNEL {
                // The kernel says "present" of all addresses that are its own (arch/x86/mm/fault.c).
                code &= !1;
            }
            (after, Ending { vector: m.vector as u8, code, address })
        }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // SAFETY: the actions and the stack that were in place before; nothing refers to the pages any more.
        unsafe {
            for (s, before) in SIGNALS.iter().zip(&self.before) {
                libc::sigaction(*s, before, std::ptr::null_mut());
            }
            libc::sigaltstack(&self.stack_before, std::ptr::null_mut());
            for (at, len) in [(MEETING, PAGE), (PROGRAM, PAGE), (CODE, PAGE), (DATA, DATA_LEN), (FIXED, PAGE)]
            {
                libc::munmap(at as *mut libc::c_void, len);
            }
        }
    }
}
