//! Commands that set and remove break and watch points.

use super::{Entry, Session};
use crate::Machine;
use crate::debug::Kind;
use crate::debug::expr::Expr;
use lucid86_cpu::watch::Bytes;
use std::fmt::Write;

pub(super) const COMMANDS: &[Entry] = &[
    (&["break", "b"], "[phys] ADDR [if EXPR]", "stop before the instruction there"),
    (&["tbreak", "tb"], "[phys] ADDR [if EXPR]", "the same, once"),
    (&["watch", "w"], "[phys] ADDR [LEN] [if EXPR]", "stop when the bytes change"),
    (&["wwatch"], "[phys] ADDR [LEN] [if EXPR]", "stop at every store"),
    (&["rwatch"], "[phys] ADDR [LEN] [if EXPR]", "stop at every load"),
    (&["awatch"], "[phys] ADDR [LEN] [if EXPR]", "stop at every access"),
    (&["mmio"], "ADDR [LEN] [if EXPR]", "stop at accesses to a chip in memory"),
    (&["vector", "catch"], "N[-M] [if EXPR]", "stop at exceptions and interrupts"),
    (&["port"], "N[-M] [if EXPR]", "stop at accesses to ports"),
    (&["msr"], "N[-M] [if EXPR]", "stop at accesses to model-specific registers"),
    (&["cr"], "N [== VALUE] [if EXPR]", "stop at writes to a control register"),
    (&["dr"], "N [if EXPR]", "stop at accesses to a debug register"),
    (&["mode"], "", "stop at changes of the processor's mode"),
    (&["task"], "", "stop at task switches"),
    (&["at"], "COUNT | TIME", "stop at a count of instructions or a time such as 3s"),
    (&["points", "info"], "", "the points"),
    (&["delete", "d"], "[N]", "remove a point, or all"),
    (&["enable"], "N", "ask a point again"),
    (&["disable"], "N", "don't ask a point"),
    (&["ignore"], "N COUNT", "let hits pass"),
    (&["condition"], "N [EXPR]", "stop only where this isn't 0"),
];

impl Machine {
    pub(super) fn point_command(&mut self, s: &Session, name: &str, rest: &str) -> Result<String, String> {
        match name {
            "points" => return Ok(self.list_points()),
            "delete" | "enable" | "disable" | "ignore" | "condition" => {
                return self.change_point(s, name, rest);
            }
            _ => {}
        }
        let (rest, condition) = match rest.split_once(" if ") {
            Some((a, c)) => (a.trim(), Some(c.trim())),
            None => (rest, None),
        };
        let parsed = condition.map(Expr::parse).transpose()?;
        let kind = self.kind_of(s, name, rest)?;
        let id = self.debug.add(kind)?;
        if let Some(p) = self.debug.point(id) {
            p.condition = parsed;
            p.condition_text = condition.unwrap_or_default().to_string();
            p.temporary = name == "tbreak";
            return Ok(format!("point {id}: {}\n", p.text()));
        }
        Ok(String::new())
    }

    fn kind_of(&self, s: &Session, name: &str, rest: &str) -> Result<Kind, String> {
        let (physical, place) = match rest.strip_prefix("phys ") {
            Some(r) => (true, r.trim()),
            None => (false, rest),
        };
        Ok(match name {
            "break" | "tbreak" => {
                let at = if place.is_empty() { self.pc(s.cpu) } else { self.evaluate(s.cpu, place)? };
                Kind::Code { at, physical }
            }
            "watch" | "wwatch" | "rwatch" | "awatch" | "mmio" => {
                let (at, rest) = Expr::parse_front(place)?;
                let at = at.value(&self.eyes(s.cpu))?;
                let len = if rest.trim().is_empty() { 4 } else { self.evaluate(s.cpu, rest)? };
                let (read, write) = (matches!(name, "rwatch" | "awatch" | "mmio"), name != "rwatch");
                let bytes = Bytes { at, len, physical: physical || name == "mmio", read, write };
                Kind::Data { bytes, change: name == "watch" }
            }
            "vector" => {
                let (a, b) = self.range(s, rest, 0xff)?;
                Kind::Vector(a as u8, b as u8)
            }
            "port" => {
                let (a, b) = self.range(s, rest, 0xffff)?;
                Kind::Port(a as u16, b as u16)
            }
            "msr" => {
                let (a, b) = self.range(s, rest, u32::MAX.into())?;
                Kind::Msr(a as u32, b as u32)
            }
            "cr" => {
                let (n, value) = rest.split_once("==").map_or((rest, None), |(n, v)| (n, Some(v)));
                let n = self.range(s, n.trim(), 8)?.0 as u8;
                Kind::Cr(n, value.map(|v| self.evaluate(s.cpu, v)).transpose()?)
            }
            "dr" => Kind::Dr(self.range(s, rest, 7)?.0 as u8),
            "mode" => Kind::Mode,
            "task" => Kind::Task,
            _ => match crate::config::parse_duration_ns(rest) {
                Some(t) if rest.ends_with('s') => Kind::Time(t),
                _ => Kind::Count(self.evaluate(s.cpu, rest)?),
            },
        })
    }

    /// `N` or `N-M`, up to `most`.
    fn range(&self, s: &Session, text: &str, most: u64) -> Result<(u64, u64), String> {
        let (a, b) = text.split_once('-').unwrap_or((text, text));
        let (a, b) = (self.evaluate(s.cpu, a)?, self.evaluate(s.cpu, b)?);
        if a > b || b > most {
            return Err(format!("{text} is no range up to {most:#x}"));
        }
        Ok((a, b))
    }

    fn list_points(&self) -> String {
        let mut out = String::new();
        for p in self.debug.points().iter().filter(|p| !p.foreign) {
            let off = if p.enabled { "" } else { ", off" };
            let ignore = if p.ignore > 0 { format!(", {} to be ignored", p.ignore) } else { String::new() };
            let _ = writeln!(out, "{:>4}  {} ({} hits{ignore}{off})", p.id, p.text(), p.hits);
        }
        if out.is_empty() { "no points\n".into() } else { out }
    }

    fn change_point(&mut self, s: &Session, name: &str, rest: &str) -> Result<String, String> {
        if name == "delete" && rest.is_empty() {
            self.debug.remove_where(|p| !p.foreign);
            return Ok(String::new());
        }
        let (id, more) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let id = id.parse().map_err(|_| format!("'{id}' is no point's number"))?;
        if name == "delete" {
            return if self.debug.remove(id) {
                Ok(String::new())
            } else {
                Err(format!("there is no point {id}"))
            };
        }
        let count = if name == "ignore" { self.evaluate(s.cpu, more)? } else { 0 };
        let condition =
            if name == "condition" && !more.trim().is_empty() { Some(Expr::parse(more)?) } else { None };
        let p = self.debug.point(id).ok_or_else(|| format!("there is no point {id}"))?;
        match name {
            "enable" => p.enabled = true,
            "disable" => p.enabled = false,
            "ignore" => p.ignore = count,
            _ => {
                p.condition = condition;
                p.condition_text = more.trim().to_string();
            }
        }
        Ok(String::new())
    }
}
