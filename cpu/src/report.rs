//! Figures of the engine for `--statistics`, as lines of text.

use crate::derived::Derived;
use iced_x86::Code;
use std::fmt::Write;

/// How many kinds of instruction are named.
const NAMED: usize = 24;

/// Lines about decoded blocks, the TLB and the translator. `count`: instructions in all.
pub fn report(d: &Derived, count: u64) -> String {
    let mut s = String::new();
    let mut line = |name: &str, v: String| _ = writeln!(s, "{name:<20}{v}");
    let b = &d.blocks.statistics;
    line("blocks decoded", format!("{}, dropped {}, all dropped {} times", b.decoded, b.dropped, b.flushed));
    let t = &d.tlb.statistics;
    line("page walks", format!("{}, stores to page tables {}", t.walks, t.page_table_stores));
    line(
        "address spaces",
        format!(
            "{} made, {} times all void, {} times all stores",
            t.groups_made, t.full_voids, t.write_voids
        ),
    );
    let Some(j) = &d.jit else { return s };
    let j_s = &j.statistics;
    line(
        "translated",
        format!(
            "{} blocks, {} instructions, {} guest bytes to {} host bytes, {} of them hot; {} can't be",
            j_s.translated, j_s.instructions, j_s.guest_bytes, j_s.host_bytes, j_s.hot_bytes, j_s.refused
        ),
    );
    line("invalidated", format!("{} blocks, all {} times", j_s.dropped, j_s.flushed));
    let [bail, budget, attention, link, jump, _, far] = j_s.exits;
    line("links made", j_s.links.to_string());
    line(
        "left translated code",
        format!(
            "{bail} handed back or faulted, {budget} out of budget, {attention} attention, {link} unlinked, {far} to other pages, {jump} jump cache misses; {} more found without leaving",
            j_s.sought
        ),
    );
    line("interpreted", format!("{} runs of cold blocks, {} across pages", j_s.cold, j_s.crossing));
    line("TLB fills", d.fills.to_string());
    line("accesses not to plain memory", d.slow.to_string());
    let part = 100.0 * j_s.completed as f64 / count.max(1) as f64;
    line(
        "run translated",
        format!("{} instructions ({part:.2}%), entered {} times", j_s.completed, j_s.entered),
    );
    let [native, making, all] = d.times.map(|t| t.as_secs_f64());
    line(
        "time",
        format!(
            "translated {native:.3} s, translating {making:.3} s, rest of engine {:.3} s",
            all - native - making
        ),
    );
    let mut handed: Vec<(usize, u64)> =
        j.handed.iter().copied().enumerate().filter(|(_, n)| *n > 0).collect();
    handed.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let all: u64 = handed.iter().map(|h| h.1).sum();
    line("handed back", format!("{all} instructions to the interpreter"));
    for (code, n) in handed.iter().take(NAMED) {
        if let Ok(code) = Code::try_from(*code) {
            line("", format!("{n:>12} {code:?}"));
        }
    }
    if d.list > 0 {
        s.push_str(&j.hottest(d.list));
    }
    s
}
