//! Commands about the machine around the processor: chips, PCI, memory map, timers, interrupts, why the guest waits.

use super::{Entry, Session};
use crate::Machine;
use crate::board::wires::region;
use crate::outcome::View;
use lucid86_cpu::memory::{PAGE, Place};
use lucid86_cpu::state::{Activity, flag};
use std::fmt::Write;

pub(super) const COMMANDS: &[Entry] = &[
    (&["chips", "chip"], "[NAME]", "the chips; a chip's registers"),
    (&["pci"], "", "functions, BARs, interrupt lines"),
    (&["map"], "", "what answers at which physical address"),
    (&["timers"], "", "when each chip next does something"),
    (&["interrupts", "irq"], "", "lines and controllers"),
    (&["idle"], "", "why the guest waits"),
    (&["exceptions"], "", "the last exceptions"),
    (&["postmortem"], "[FILE]", "why the guest died or hangs; JSON into FILE.json"),
    (&["screenshot"], "FILE.png", "write the screen there"),
    (&["save"], "FILE", "write the state there, as --save does"),
];

/// Longest text of one register.
const LONGEST: usize = 160;

/// A chip's Debug text, a register a line.
fn fields(text: &str) -> String {
    let inner = text.find('{').map_or(text, |i| &text[i + 1..]).trim_end_matches('}');
    let mut out = String::new();
    let (mut depth, mut start) = (0i32, 0);
    let mut line = |field: &str| {
        let field = field.trim();
        let cut = field.char_indices().nth(LONGEST).map_or(field.len(), |(i, _)| i);
        if !field.is_empty() {
            let _ = writeln!(out, "  {}{}", &field[..cut], if cut < field.len() { " ..." } else { "" });
        }
    };
    for (i, c) in inner.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                line(&inner[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    line(&inner[start..]);
    out
}

impl Machine {
    pub(super) fn machine_command(&mut self, s: &Session, name: &str, rest: &str) -> Result<String, String> {
        match name {
            "chips" => self.chips_text(rest),
            "pci" => Ok(self.pci_text()),
            "map" => Ok(self.map_text()),
            "timers" => Ok(self.timers_text()),
            "interrupts" => Ok(self.interrupts_text()),
            "idle" => Ok(self.idle_text(s.cpu)),
            "exceptions" => {
                let list = self.board.recent.iter().flatten();
                Ok(list.map(|d| format!("{d}\n")).collect::<Vec<_>>().concat())
            }
            "postmortem" => {
                let what = if self.hangs(s.cpu) { "a hang" } else { "a report on request" };
                self.find_trail(s.cpu);
                let report = self.post_mortem(s.cpu, what);
                if rest.is_empty() {
                    return Ok(report.text());
                }
                report.write(std::path::Path::new(rest)).map_err(|e| format!("{rest}: {e}"))?;
                Ok(String::new())
            }
            "screenshot" => {
                let png = self.screenshot_png()?;
                std::fs::write(rest, png).map_err(|e| format!("{rest}: {e}"))?;
                Ok(String::new())
            }
            _ => {
                let bytes = self.save().map_err(|e| e.to_string())?;
                std::fs::write(rest, bytes).map_err(|e| format!("{rest}: {e}"))?;
                Ok(String::new())
            }
        }
    }

    fn chips_text(&self, name: &str) -> Result<String, String> {
        let c = &self.board.chips;
        macro_rules! chips {
            ($($chip:ident),*) => {
                [$((stringify!($chip), format!("{:x?}", c.$chip))),*]
            };
        }
        let mut all: Vec<(String, String)> = chips!(
            pics,
            pit,
            rtc,
            speaker,
            i8042,
            ide,
            port92,
            pm,
            smbus,
            dma,
            floppy,
            parallel,
            hpet,
            fpu_error,
            fw_cfg,
            debug_console,
            debug_exit,
            ioapic,
            host_bridge,
            isa_bridge,
            power_function,
            vga_function,
            mechanism,
            vga
        )
        .into_iter()
        .map(|(n, t)| (n.to_string(), t))
        .collect();
        for (i, u) in c.uarts.iter().enumerate() {
            all.push((format!("com{}", i + 1), format!("{u:x?}")));
        }
        for (i, l) in c.lapics.iter().enumerate() {
            all.push((format!("lapic{i}"), format!("{l:x?}")));
        }
        if name.is_empty() {
            let names: Vec<&str> = all.iter().map(|c| &*c.0).collect();
            return Ok(names.join(" ") + "\n");
        }
        let found = all.iter().find(|c| c.0 == name);
        found
            .map(|(n, t)| format!("{n} (values in hexadecimal)\n{}", fields(t)))
            .ok_or_else(|| format!("'{name}' is no chip: chips lists them"))
    }

    fn pci_text(&mut self) -> String {
        let mut out = String::new();
        for device in 0..32 {
            for function in 0..8 {
                let Some(f) = self.board.pci_function(device, function) else { continue };
                let c = f.config();
                let class = c.get32(8) >> 8;
                let kind = match class >> 8 {
                    0x0101 => "IDE controller",
                    0x0200 => "Ethernet controller",
                    0x0300 => "VGA controller",
                    0x0600 => "host bridge",
                    0x0601 => "ISA bridge",
                    0x0680 => "bridge",
                    _ => "function",
                };
                let _ = writeln!(
                    out,
                    "00:{device:02x}.{function} {:04x}:{:04x} {kind} (class {class:06x}), command {:04x}, interrupt {}",
                    c.get16(0),
                    c.get16(2),
                    c.get16(4),
                    c.interrupt_line()
                );
                for bar in 0..6 {
                    let v = c.get32(0x10 + 4 * bar);
                    if v & 1 != 0 {
                        let _ = writeln!(out, "    BAR{bar} ports {:#x}", v & !3);
                    } else if v != 0 {
                        let _ = writeln!(out, "    BAR{bar} memory {:#x}", v & !15);
                    }
                }
            }
        }
        out
    }

    fn place_text(&self, p: Place) -> String {
        match p {
            Place::Unmapped => "nothing".into(),
            Place::Frame(f) => {
                let frames = self.board.frames;
                if f < frames.rom() {
                    "RAM".into()
                } else if f < frames.video_rom() {
                    "system ROM".into()
                } else if f < frames.vram() {
                    "video ROM".into()
                } else {
                    "video memory".into()
                }
            }
            Place::Chip(region::VGA) => "VGA window".into(),
            Place::Chip(region::VGA_REGISTERS) => "VGA registers".into(),
            Place::Chip(region::LAPIC) => "local APIC".into(),
            Place::Chip(region::IOAPIC) => "IOAPIC".into(),
            Place::Chip(region::HPET) => "HPET".into(),
            Place::Chip(n) => format!("chip {n}"),
        }
    }

    fn map_text(&self) -> String {
        let mut out = String::new();
        let pages = self.board.frames.pages() as u64;
        let text = |page: u64| {
            let (r, w) =
                (self.place_text(self.mem.read_place(page)), self.place_text(self.mem.write_place(page)));
            if r == w { r } else { format!("loads: {r}, stores: {w}") }
        };
        let mut start = 0;
        let mut now = text(0);
        for page in 1..=pages {
            let next = if page < pages { text(page) } else { String::new() };
            if next != now {
                if now != "nothing" {
                    let _ = writeln!(out, "{:012x}-{:012x}  {now}", start * PAGE, page * PAGE - 1);
                }
                (start, now) = (page, next);
            }
        }
        let gate = if self.mem.a20() { "open" } else { "closed: bit 20 of addresses is 0" };
        let _ = writeln!(out, "A20 is {gate}");
        out
    }

    fn timers_text(&self) -> String {
        let now = self.time_ns();
        let mut due: Vec<(u64, &str)> = self.board.timers().map(|(n, t)| (t.0, n)).collect();
        due.sort_unstable();
        let mut out = String::new();
        for (t, name) in due {
            let _ = writeln!(
                out,
                "{name:<8} in {:>12} ns, at {}.{:09} s",
                t.saturating_sub(now),
                t / 1_000_000_000,
                t % 1_000_000_000
            );
        }
        if out.is_empty() { "no timer runs\n".into() } else { out }
    }

    fn interrupts_text(&self) -> String {
        let c = &self.board.chips;
        let mut out = String::new();
        const NAMES: [&str; 16] = [
            "timer", "keyboard", "cascade", "COM2/4", "COM1/3", "LPT2", "floppy", "LPT1", "RTC", "SCI", "",
            "", "mouse", "FPU", "IDE 0", "IDE 1",
        ];
        let up: Vec<String> = (0..16)
            .filter(|i| c.lines >> i & 1 != 0)
            .map(|i| format!("IRQ{i} {}", NAMES[i as usize]).trim().to_string())
            .collect();
        let _ = writeln!(out, "ISA lines up: {}", if up.is_empty() { "none".into() } else { up.join(", ") });
        let _ = writeln!(
            out,
            "8259 pair, INTR {}:\n{}",
            if c.pics.intr() { "up" } else { "down" },
            fields(&format!("{:x?}", c.pics))
        );
        for (i, l) in c.lapics.iter().enumerate() {
            let state = if l.enabled() { "enabled" } else { "disabled" };
            let _ = writeln!(out, "local APIC {i} {state}, next for the processor: {:?}", l.interrupt());
        }
        for cpu in &self.cpus {
            let open = cpu.rflags & flag::IF != 0;
            let _ = writeln!(
                out,
                "processor {}: INTR {}, IF {}, {:?}, NMI pending {} blocked {}",
                cpu.index,
                if cpu.intr { "up" } else { "down" },
                u8::from(open),
                cpu.activity,
                cpu.nmi_pending,
                cpu.nmi_blocked
            );
        }
        out
    }

    /// Why the guest does nothing, or that it does something.
    pub(crate) fn idle_text(&self, n: usize) -> String {
        let cpu = &self.cpus[n];
        let open = cpu.rflags & flag::IF != 0;
        let what = match cpu.activity {
            Activity::Running => {
                return format!("processor {n} is not idle: it executes at {:#x}\n", self.pc(n));
            }
            Activity::WaitForSipi => {
                return format!("processor {n} waits to be started by another one (start-up IPI)\n");
            }
            Activity::Shutdown => return format!("processor {n} has shut down after a triple fault\n"),
            Activity::Halted => format!("processor {n} is in HLT at {:#x}", self.pc(n)),
        };
        let next = self.board.deadline();
        let now = self.time_ns();
        let mut out = what;
        if !open {
            out += " with interrupts off (IF = 0): only NMI, SMI, INIT or reset can wake it\n";
            return out;
        }
        if cpu.intr {
            out += ", and an interrupt is about to wake it\n";
            return out;
        }
        match next {
            Some(t) => {
                let _ = write!(out, "; the next timer is due in {} ns", t.0.saturating_sub(now));
            }
            None => out += "; no timer runs, so only input can wake it",
        }
        let masked: Vec<String> =
            (0..16).filter(|i| self.board.chips.lines >> i & 1 != 0).map(|i| format!("IRQ{i}")).collect();
        if !masked.is_empty() {
            let _ = write!(out, "; {} up but masked or in service: see interrupts", masked.join(", "));
        }
        out + "\n"
    }

    /// A short look for whoever shows many machines.
    pub fn is_idle(&self) -> bool {
        self.idle()
    }
}
