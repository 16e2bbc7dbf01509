//! Commands that look at memory and change it.

use super::{Entry, Session};
use crate::Machine;
use crate::debug::disasm;
use crate::debug::expr::Expr;
use std::fmt::Write;

pub(super) const COMMANDS: &[Entry] = &[
    (&["x"], "[/COUNT x|d|s|i b|w|d|q] ADDR", "linear memory: x/16xb ss:sp, x/5i pc, x/s name"),
    (&["xp"], "[/COUNT x|d|s b|w|d|q] ADDR", "physical memory"),
    (&["disassemble", "u"], "[ADDR] [N]", "instructions"),
    (&["print", "p"], "EXPR", "a value"),
    (&["set"], "REGISTER = V | byte[A] = V | phys byte[A] = V", "change a register or memory"),
    (&["backtrace", "bt"], "[N]", "who called"),
    (&["symbol"], "ADDR | NAME", "what is near an address, where a name is"),
    (&["symbols"], "[linux | load FILE [BASE] | export FILE | bios | clear]", "where names come from"),
];

/// Most items at once.
const MOST: u64 = 4096;

struct Format {
    count: u64,
    kind: char,
    size: usize,
}

fn format_of(text: &str) -> Result<Format, String> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let count = if digits == 0 { 1 } else { text[..digits].parse().unwrap_or(MOST) };
    let mut f = Format { count: count.clamp(1, MOST), kind: 'x', size: 4 };
    let mut sized = false;
    for c in text[digits..].chars() {
        match c {
            'x' | 'd' | 's' | 'i' | 'c' => f.kind = c,
            'b' => (f.size, sized) = (1, true),
            'h' => (f.size, sized) = (2, true),
            'w' => (f.size, sized) = (4, true),
            'g' | 'q' => (f.size, sized) = (8, true),
            _ => return Err(format!("'{c}' is no format: x d s i c, sizes b (1) h (2) w (4) g (8)")),
        }
    }
    if f.kind == 'c' && !sized {
        f.size = 1;
    }
    Ok(f)
}

impl Machine {
    pub(super) fn examine_command(
        &mut self,
        s: &mut Session,
        name: &str,
        format: &str,
        rest: &str,
    ) -> Result<String, String> {
        match name {
            "x" | "xp" => self.dump(s, name == "xp", format, rest),
            "disassemble" => {
                let (at, n) = if rest.is_empty() {
                    (self.pc(s.cpu), 10)
                } else {
                    let (e, more) = Expr::parse_front(rest)?;
                    let n = if more.trim().is_empty() { 10 } else { self.evaluate(s.cpu, more)? };
                    (e.value(&self.eyes(s.cpu))?, n)
                };
                Ok(self.disassemble(s.cpu, at, n.min(MOST) as usize, disasm::bits(&self.cpus[s.cpu])))
            }
            "print" => {
                let v = self.evaluate(s.cpu, rest)?;
                let name = self.symbol_text(v).map_or_else(String::new, |n| format!(" {n}"));
                Ok(format!("{v:#x} {v}{name}\n"))
            }
            "set" => self.assign(s, rest),
            "backtrace" => {
                let n = if rest.is_empty() { 50 } else { self.evaluate(s.cpu, rest)?.min(MOST) };
                Ok(self.backtrace_text(s.cpu, n as usize))
            }
            "symbol" => match self.debug.symbols.address(rest) {
                Some(at) => Ok(format!("{rest} is at {at:#x}\n")),
                None => {
                    let at = self.evaluate(s.cpu, rest)?;
                    let line = self.debug.symbols.line(at).map_or_else(String::new, |l| format!(" at {l}"));
                    Ok(self
                        .symbol_text(at)
                        .map_or_else(|| format!("no name is near {at:#x}{line}\n"), |t| t + &line + "\n"))
                }
            },
            _ => self.symbols_command(s, rest),
        }
    }

    /// Frames, one a line.
    pub fn backtrace_text(&self, cpu: usize, most: usize) -> String {
        let mut out = String::new();
        for (n, f) in self.backtrace(cpu, most).iter().enumerate() {
            // What a call returned to belongs to the call before it.
            let at = if n > 0 { f.pc.wrapping_sub(1) } else { f.pc };
            let name = match self.debug.symbols.at(at) {
                Some((name, offset)) => format!("{name}+{:#x}", offset + (f.pc - at)),
                None => "?".into(),
            };
            let line = self.debug.symbols.line(at).map_or_else(String::new, |l| format!(" at {l}"));
            let _ = writeln!(out, "#{n:<3} {:#018x} {name}{line} (sp {:#x}, by {:?})", f.pc, f.sp, f.how);
        }
        out
    }

    fn dump(&self, s: &mut Session, physical: bool, format: &str, rest: &str) -> Result<String, String> {
        let f = format_of(format)?;
        let mut at = if rest.is_empty() { s.next } else { self.evaluate(s.cpu, rest)? };
        if f.kind == 'i' {
            let bits = disasm::bits(&self.cpus[s.cpu]);
            return Ok(self.disassemble(s.cpu, at, f.count as usize, bits));
        }
        let read = |at: u64, to: &mut [u8]| {
            if physical { self.peek_physical(at, to) } else { self.peek(s.cpu, at, to) }
        };
        let mut out = String::new();
        if f.kind == 's' {
            for _ in 0..f.count {
                let mut bytes = vec![0; 256];
                let n = read(at, &mut bytes);
                let end = bytes[..n].iter().position(|b| *b == 0).unwrap_or(n);
                let _ = writeln!(out, "{at:#018x}  {:?}", String::from_utf8_lossy(&bytes[..end]));
                at = at.wrapping_add(end as u64 + 1);
            }
            s.next = at;
            return Ok(out);
        }
        let row = 16 / f.size as u64;
        for i in 0..f.count {
            if i % row == 0 {
                let name = if physical { None } else { self.debug.symbols.starts(at) };
                let name = name.map_or_else(String::new, |n| format!(" <{n}>"));
                let _ = write!(out, "{}{at:#018x}{name} ", if i > 0 { "\n" } else { "" });
            }
            let mut b = [0; 8];
            if read(at, &mut b[..f.size]) < f.size {
                let _ = write!(out, " (no memory)");
                break;
            }
            let v = u64::from_le_bytes(b);
            let _ = match f.kind {
                'x' => write!(out, " {v:0w$x}", w = 2 * f.size),
                'c' => write!(out, " {:?}", char::from(b[0])),
                _ => {
                    let unused = 64 - 8 * f.size as u32;
                    write!(out, " {}", (v << unused) as i64 >> unused)
                }
            };
            at = at.wrapping_add(f.size as u64);
        }
        s.next = at;
        Ok(out + "\n")
    }

    fn assign(&mut self, s: &Session, rest: &str) -> Result<String, String> {
        let (to, value) = rest
            .split_once('=')
            .ok_or_else(|| "set needs a =: set rax = 5, set byte[0x7c00] = 0x90".to_string())?;
        let v = self.evaluate(s.cpu, value)?;
        let was_past = self.in_past();
        match Expr::parse(to)? {
            Expr::Name(name) => {
                if !self.set_register(s.cpu, &name.to_ascii_lowercase(), v) {
                    return Err(format!("{name} is no register that can be set"));
                }
            }
            Expr::Load(at, bytes, physical) => {
                let at = at.value(&self.eyes(s.cpu))?;
                let b = v.to_le_bytes();
                let from = &b[..usize::from(bytes)];
                let done = if physical { self.poke_physical(at, from) } else { self.poke(s.cpu, at, from) };
                if !done {
                    return Err(format!("there is no memory at {at:#x}"));
                }
            }
            _ => return Err("only a register or memory can be set".into()),
        }
        Ok(if was_past {
            "this is the present now; the future that was known is void\n".into()
        } else {
            String::new()
        })
    }

    fn symbols_command(&mut self, s: &Session, rest: &str) -> Result<String, String> {
        let mut words = rest.split_whitespace();
        match words.next() {
            None => {
                let mut out = String::new();
                for (source, n) in self.debug.symbols.sources() {
                    let _ = writeln!(out, "{n:>8} from {source}");
                }
                Ok(if out.is_empty() { "no names\n".into() } else { out })
            }
            Some("clear") => {
                self.debug.symbols.clear();
                Ok(String::new())
            }
            Some("linux") => Ok(format!("{} names\n", self.load_linux_symbols()?)),
            Some("export") => {
                let file = words.next().ok_or("symbols export needs a file")?;
                let bytes = crate::debug::symbols::export::elf(&self.debug.symbols);
                std::fs::write(file, bytes).map_err(|e| format!("{file}: {e}"))?;
                Ok(format!("add-symbol-file {file}\n"))
            }
            Some("bios") => Ok(format!("{} names\n", self.load_bios_symbols())),
            Some("load") => {
                let file = words.next().ok_or("symbols load needs a file")?;
                let base = words.next().map(|b| self.evaluate(s.cpu, b)).transpose()?.unwrap_or(0);
                let n = self.load_symbols(std::path::Path::new(file), base)?;
                Ok(format!("{n} names from {file}\n"))
            }
            Some(other) => {
                Err(format!("'{other}' is not one of: linux, load FILE [BASE], export FILE, bios, clear"))
            }
        }
    }
}
