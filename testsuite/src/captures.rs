//! Hardware captures: SingleStepTests sets of the 80286 and the 8086, in the format of `shared/vectors/README.md`,
//! part 1. Any folder of that format runs: `OP.jsonl` files, folders `286/` and `8086/` of them, or `286.tar.zst` and
//! `8086.tar.zst`; the undefined-flag masks come from `MODEL-metadata.json` (or `metadata.json`) beside them.

use crate::rig::Rig;
use crate::tally::{Tally, VectorOptions};
use lucid86_cpu::exec::Stop;
use lucid86_cpu::model::CpuModel;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

#[derive(Deserialize)]
struct Case {
    idx: u64,
    name: String,
    bytes: String,
    ri: [u16; 14],
    mi: Vec<(u32, u8)>,
    rf: BTreeMap<String, u16>,
    mf: Vec<(u32, u8)>,
    exc: Option<(u8, u32)>,
    #[serde(default)]
    io: Vec<(String, u16, u16)>,
}

/// The order of registers in `ri`.
const REGS: [&str; 14] =
    ["ax", "bx", "cx", "dx", "cs", "ss", "ds", "es", "sp", "bp", "si", "di", "ip", "flags"];
const FLAGS: usize = 13;
const IP: usize = 12;

/// Which processor a set was captured from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Chip {
    I8086,
    I286,
}

impl Chip {
    fn name(self) -> &'static str {
        match self {
            Chip::I8086 => "8086",
            Chip::I286 => "286",
        }
    }
}

/// A set: one chip's opcode files and its metadata.
struct Set {
    chip: Chip,
    files: Vec<(String, String)>,
    metadata: Value,
}

/// `captures DIR ...`
pub fn command(args: &[String]) -> Result<Tally, String> {
    let o = VectorOptions::parse(args)?;
    let sets = find_sets(&o)?;
    if sets.is_empty() {
        return Err(format!(
            "no captures in '{}': expected OP.jsonl files, 286/, 8086/ or MODEL.tar.zst",
            o.dir.display()
        ));
    }
    let mut tally = Tally::default();
    for set in sets {
        tally += run_set(&set, &o)?;
    }
    Ok(tally)
}

fn find_sets(o: &VectorOptions) -> Result<Vec<Set>, String> {
    let mut sets = Vec::new();
    for chip in [Chip::I286, Chip::I8086] {
        if o.model.as_deref().is_some_and(|m| m != chip.name()) {
            continue;
        }
        let folder = o.dir.join(chip.name());
        let archive = o.dir.join(format!("{}.tar.zst", chip.name()));
        let mut files = Vec::new();
        if folder.is_dir() {
            files = read_folder(&folder)?;
        } else if archive.is_file() {
            files = read_archive(&archive)?;
        } else if o.model.is_some() || o.dir.file_name().is_some_and(|n| n == chip.name()) {
            files = read_folder(&o.dir)?;
        }
        if !files.is_empty() {
            let metadata = find_metadata(&o.dir, chip)?;
            sets.push(Set { chip, files, metadata });
        }
    }
    Ok(sets)
}

fn read_folder(dir: &Path) -> Result<Vec<(String, String)>, String> {
    let mut out = Vec::new();
    for e in std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))? {
        let path = e.map_err(|e| e.to_string())?.path();
        if path.extension().is_some_and(|x| x == "jsonl") {
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            out.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), text));
        }
    }
    out.sort();
    Ok(out)
}

fn read_archive(path: &Path) -> Result<Vec<(String, String)>, String> {
    let err = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = std::fs::File::open(path).map_err(|e| err(&e))?;
    let zst = ruzstd::decoding::StreamingDecoder::new(std::io::BufReader::new(file)).map_err(|e| err(&e))?;
    let mut out = Vec::new();
    for entry in tar::Archive::new(zst).entries().map_err(|e| err(&e))? {
        let mut entry = entry.map_err(|e| err(&e))?;
        let name = entry.path().map_err(|e| err(&e))?.into_owned();
        if name.extension().is_some_and(|x| x == "jsonl") {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(|e| err(&e))?;
            out.push((name.file_stem().unwrap_or_default().to_string_lossy().into_owned(), text));
        }
    }
    out.sort();
    Ok(out)
}

fn find_metadata(dir: &Path, chip: Chip) -> Result<Value, String> {
    let own = format!("{}-metadata.json", chip.name());
    let parent = dir.parent().unwrap_or(dir);
    for path in [
        dir.join(&own),
        dir.join(chip.name()).join("metadata.json"),
        dir.join("metadata.json"),
        parent.join(&own),
    ] {
        if path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            return serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()));
        }
    }
    println!("{}: no metadata found: all flags are compared", chip.name());
    Ok(Value::Null)
}

/// The flags that are defined after the opcode of file `stem` (`F7.6`, `0FAF`).
fn flags_mask(metadata: &Value, stem: &str) -> u16 {
    let (op, reg) = stem.split_once('.').map_or((stem, None), |(o, r)| (o, Some(r)));
    let entry = &metadata["opcodes"][op];
    let entry = match reg {
        Some(r) if !entry["reg"][r].is_null() => &entry["reg"][r],
        _ => entry,
    };
    entry["flags-mask"].as_u64().map_or(0xffff, |m| m as u16)
}

fn run_set(set: &Set, o: &VectorOptions) -> Result<Tally, String> {
    let mut tally = Tally::default();
    // The captured machines have no coprocessor.
    let model = CpuModel::parse(&format!("{},-fpu", set.chip.name())).map_err(|e| e.to_string())?;
    // RAM to 10FFEF and the page after it, enough for every address that real mode can form.
    let mut rig = Rig::eager(model, 16 << 20, o.engine);
    if set.chip == Chip::I8086 {
        rig.mem.set_a20(false);
    }
    for (stem, text) in &set.files {
        let mask = flags_mask(&set.metadata, stem);
        let mut failed = 0;
        let total = text.lines().filter(|l| !l.trim().is_empty()).count();
        for line in text.lines().filter(|l| !l.trim().is_empty()) {
            let case: Case =
                serde_json::from_str(line).map_err(|e| format!("{}/{stem}: {e}", set.chip.name()))?;
            match run_case(&mut rig, set.chip, &case, mask) {
                Ok(()) => tally.passed += 1,
                Err(diff) => {
                    failed += 1;
                    tally.failed += 1;
                    if tally.failed <= o.limit {
                        println!(
                            "{}/{stem} {} '{}' [{}]: {diff}",
                            set.chip.name(),
                            case.idx,
                            case.name,
                            case.bytes
                        );
                    }
                }
            }
        }
        if failed > 0 {
            println!("{}/{stem}: {failed} of {total} failed", set.chip.name());
        }
    }
    Ok(tally)
}

fn load(rig: &mut Rig, chip: Chip, case: &Case) {
    rig.cpu.reset();
    let [ax, bx, cx, dx, cs, ss, ds, es, sp, bp, si, di, ip, flags] = case.ri.map(u64::from);
    rig.cpu.gpr[..8].copy_from_slice(&[ax, cx, dx, bx, sp, bp, si, di]);
    for (n, sel) in [(0, es), (1, cs), (2, ss), (3, ds)] {
        rig.cpu.seg[n].selector = sel as u16;
        rig.cpu.seg[n].base = sel << 4;
        rig.cpu.seg[n].limit = 0xffff;
    }
    rig.cpu.rip = ip;
    rig.cpu.rflags = match chip {
        Chip::I286 => flags & 0x0fd7 | 2,
        Chip::I8086 => flags,
    };
    for &(addr, byte) in &case.mi {
        rig.poke(u64::from(addr), &[byte]);
    }
    rig.board.ports.clear();
}

fn final_regs(rig: &Rig) -> [u16; 14] {
    let g = |n: usize| rig.cpu.gpr[n] as u16;
    let s = |n: usize| rig.cpu.seg[n].selector;
    let (ip, flags) = (rig.cpu.rip as u16, rig.cpu.rflags as u16);
    [g(0), g(3), g(1), g(2), s(1), s(2), s(3), s(0), g(4), g(5), g(6), g(7), ip, flags]
}

/// True for a string instruction behind a repeat prefix: one instruction, many counts.
fn repeats(bytes: &[u8]) -> bool {
    let mut rep = false;
    for &b in bytes {
        match b {
            0xf2 | 0xf3 => rep = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0xf0 | 0xf1 => {}
            0x6c..=0x6f | 0xa4..=0xa7 | 0xaa..=0xaf => return rep,
            _ => return false,
        }
    }
    false
}

fn run_case(rig: &mut Rig, chip: Chip, case: &Case, mask: u16) -> Result<(), String> {
    load(rig, chip, case);
    let bytes = unhex(&case.bytes)?;
    let outcome = match chip {
        Chip::I286 => match rig.run(1 << 20) {
            Stop::Halted => Ok(()),
            stop => Err(format!("ended by {stop:?} instead of HLT at {:04X}", rig.cpu.rip)),
        },
        Chip::I8086 => {
            let (cs, ip) = (rig.cpu.seg[1].selector, rig.cpu.rip);
            let mut steps = 0;
            loop {
                let _ = rig.run(1);
                steps += 1;
                let same = rig.cpu.seg[1].selector == cs && rig.cpu.rip == ip;
                if !same || !repeats(&bytes) || steps > 70_000 {
                    break Ok(());
                }
            }
        }
    };
    let verdict = outcome.and_then(|()| compare(rig, chip, case, mask));
    // Leave zeros behind for the next case.
    for &(addr, _) in case.mi.iter().chain(&case.mf) {
        rig.poke(u64::from(addr), &[0]);
    }
    verdict
}

/// Where FLAGS went if three words were pushed. Computed, because `exc` has the even address that the bus saw, and the
/// 8086 captures have none.
fn pushed_flags(case: &Case) -> Option<[u32; 2]> {
    let sp = case.ri[REGS.iter().position(|&r| r == "sp")?];
    let ss = u32::from(case.ri[REGS.iter().position(|&r| r == "ss")?]) << 4;
    let trapped = case.exc.is_some() || case.rf.get("sp") == Some(&sp.wrapping_sub(6));
    // An 8086 has 20 address lines.
    let lines = if case.exc.is_some() { !0 } else { 0xf_ffff };
    let at = |n: u16| (ss + u32::from(sp.wrapping_sub(n))) & lines;
    trapped.then(|| [at(2), at(1)])
}

fn compare(rig: &Rig, chip: Chip, case: &Case, mask: u16) -> Result<(), String> {
    let mut diffs = Vec::new();
    let got = final_regs(rig);
    for (n, name) in REGS.iter().enumerate() {
        let want = case.rf.get(*name).copied().unwrap_or(case.ri[n]);
        let m = if n == FLAGS { mask & if chip == Chip::I286 { 0x0fd7 } else { 0xffff } } else { 0xffff };
        if (got[n] ^ want) & m != 0 {
            diffs.push(format!("{name} expected {want:04X} got {:04X}", got[n]));
        }
    }
    debug_assert_eq!(REGS[IP], "ip");
    let pushed = pushed_flags(case);
    for &(addr, want) in &case.mf {
        let got = rig.peek(u64::from(addr));
        let m = match pushed {
            Some([lo, _]) if addr == lo => mask as u8,
            Some([_, hi]) if addr == hi => (mask >> 8) as u8,
            _ => 0xff,
        };
        if (got ^ want) & m != 0 {
            diffs.push(format!("[{addr:06X}] expected {want:02X} got {got:02X}"));
        }
    }
    for &(addr, want) in &case.mi {
        if !case.mf.iter().any(|&(a, _)| a == addr) && rig.peek(u64::from(addr)) != want {
            diffs.push(format!("[{addr:06X}] changed from {want:02X} to {:02X}", rig.peek(u64::from(addr))));
        }
    }
    compare_ports(rig, case, &mut diffs);
    if diffs.is_empty() { Ok(()) } else { Err(diffs.join("; ")) }
}

/// Port accesses as single bytes on their lanes: the bus splits a word at an odd port, the processor does not say so.
fn compare_ports(rig: &Rig, case: &Case, diffs: &mut Vec<String>) {
    let want: Vec<(bool, u16)> = case.io.iter().map(|(rw, port, _)| (rw == "w", *port)).collect();
    let mut got = Vec::new();
    for a in &rig.board.ports {
        got.push((a.write, a.port));
        if a.width == 2 && a.port & 1 == 1 {
            got.push((a.write, a.port.wrapping_add(1)));
        }
    }
    if !case.io.is_empty() && want != got {
        diffs.push(format!("ports expected {want:X?} got {got:X?}"));
    }
    for (a, (_, _, bus)) in rig
        .board
        .ports
        .iter()
        .filter(|a| a.write && a.port & 1 == 0)
        .zip(case.io.iter().filter(|i| i.0 == "w" && i.1 & 1 == 0))
    {
        let m = if a.width == 1 { 0xff } else { 0xffff };
        if (a.value as u16 ^ bus) & m != 0 {
            diffs.push(format!("port {:X} expected {:X} got {:X}", a.port, bus & m, a.value));
        }
    }
}

/// Bytes of a hex string.
pub fn unhex(s: &str) -> Result<Vec<u8>, String> {
    if !s.len().is_multiple_of(2) || !s.is_ascii() {
        return Err(format!("'{s}' is not hex bytes"));
    }
    (0..s.len() / 2)
        .map(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).map_err(|e| format!("'{s}': {e}")))
        .collect()
}
