//! Looking out for a guest in trouble while it runs: a kernel that panics (Linux, whose names are found in its memory), a
//! processor that loops with interrupts off. Looked at every few million instructions; nothing else is paid.

use super::{Kind, Why};
use crate::Machine;
use lucid86_cpu::memory::PAGE;
use lucid86_cpu::state::flag;

/// Instructions in one page with interrupts off that look like a hang.
const LOOP: u64 = 4_000_000_000;
/// How often the kernel's names are looked for, and how many instructions pass before the first time.
const TRIES: u32 = 5;
const FIRST_TRY: u64 = 100_000_000;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookout {
    /// The point at the kernel's `panic`.
    panic: Option<u32>,
    tries: u32,
    next_try: u64,
    /// The page in which a processor is with interrupts off, and since which count.
    closed: Option<(u64, u64)>,
    told: bool,
}

impl Machine {
    /// Stops from now on when the guest is in trouble, or no longer.
    pub fn look_out(&mut self, yes: bool) {
        if let Some(old) = self.debug.lookout.take() {
            old.panic.map(|id| self.debug.remove(id));
        }
        self.debug.lookout = yes.then(Lookout::default);
    }

    /// Whether a stop at these points is the guest's panic: in words.
    pub(super) fn panicked(&self, cpu: usize, met: &[u32]) -> Option<Why> {
        let id = self.debug.lookout.as_ref()?.panic?;
        if !met.contains(&id) {
            return None;
        }
        // void panic(const char *fmt, ...): RDI in 64-bit code; EAX with the kernel's -mregparm=3 in 32-bit code.
        let name = if self.cpus[cpu].is_64() { "rdi" } else { "eax" };
        let mut text = [0; 200];
        let n = self.peek(cpu, self.register(cpu, name).unwrap_or(0), &mut text);
        let text =
            String::from_utf8_lossy(text[..n].split(|b| *b == 0).next().unwrap_or_default()).into_owned();
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        Some(Why::Trouble(format!("the guest's kernel panics: {text}")))
    }

    /// Looks whether the guest is in trouble.
    pub(super) fn trouble(&mut self) -> Option<Why> {
        self.debug.lookout.as_ref()?;
        if self.in_past() {
            return None;
        }
        self.find_panic();
        let count = self.progress.count;
        let cpu = self.progress.turn;
        let dead = (0..self.cpus.len()).all(|n| self.hangs(n));
        let closed = self.cpus[cpu].rflags & flag::IF == 0 && self.cpus.len() == 1;
        let page = self.pc(cpu) / PAGE;
        let l = self.debug.lookout.as_mut()?;
        if dead {
            let text = "the guest hangs: it is in HLT with interrupts off (IF = 0)".to_string();
            return (!std::mem::replace(&mut l.told, true)).then_some(Why::Trouble(text));
        }
        match l.closed {
            Some((p, since)) if closed && p == page && since <= count => {
                if l.told || count - since < LOOP {
                    return None;
                }
                l.told = true;
                let text = format!(
                    "the guest hangs: interrupts are off (IF = 0), and for {} million instructions it has been in the page of {:#x}",
                    (count - since) / 1_000_000,
                    page * PAGE
                );
                Some(Why::Trouble(text))
            }
            _ => {
                (l.closed, l.told) = (closed.then_some((page, count)), false);
                None
            }
        }
    }

    /// The kernel's names are looked for once it takes system calls; then its `panic` is a point.
    fn find_panic(&mut self) {
        let count = self.progress.count;
        let up = {
            let m = &self.cpus[0].msr;
            m.lstar != 0 || m.sysenter_eip != 0
        };
        let Some(l) = &mut self.debug.lookout else { return };
        if l.panic.is_some() || !up || l.tries >= TRIES || count < l.next_try {
            return;
        }
        if l.next_try == 0 {
            l.next_try = count + FIRST_TRY;
            return;
        }
        l.tries += 1;
        l.next_try = count + (FIRST_TRY << l.tries);
        if self.debug.symbols.address("panic").is_none() && self.load_linux_symbols().is_err() {
            return;
        }
        if let Some(at) = self.debug.symbols.address("panic")
            && let Ok(id) = self.debug.add(Kind::Code { at, physical: false })
            && let Some(l) = &mut self.debug.lookout
        {
            l.panic = Some(id);
            // The run goes on with it.
            self.arm();
        }
    }
}
