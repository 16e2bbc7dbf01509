//! `docs/instructions.md`: every mnemonic that `iced-x86` knows, and since which CPU model ours executes it. Asked of the
//! decoder itself: an instruction is supported when some encoding of it has a meaning.

use crate::oracle::cases::{key, known_in, sample};
use iced_x86::{Code, EncodingKind, Mnemonic};
use lucid86_cpu::insn::ModeKey;
use lucid86_cpu::model::CpuModel;
use std::collections::BTreeMap;
use std::fmt::Write;

const HEAD: &str = "\
# Instructions

Every mnemonic that iced-x86 knows, and the first CPU model (`--cpu help`) that executes some encoding of it here; `+name`
means that no model has it by itself, and the feature is to be added (`--cpu x86-64-v2,+aes`). This page is made by
`cargo run --release -p testsuite -- instructions` and a test checks that it is current.
UD0, UD1 and UD2 are what they should be: undefined.

";

/// Since when a mnemonic is supported.
#[derive(Clone, PartialEq, Eq)]
enum Since {
    Model(usize),
    Feature(String),
    No,
}

/// The models in order, each with its names; then the default with one feature more.
fn candidates() -> Vec<(Since, CpuModel)> {
    let mut out = Vec::new();
    for (n, name) in CpuModel::names().enumerate() {
        if let Ok(m) = CpuModel::parse(name) {
            out.push((Since::Model(n), m));
        }
    }
    let help = CpuModel::help();
    let features = help.lines().last().unwrap_or_default().split_whitespace();
    for f in features {
        if let Ok(m) = CpuModel::parse(&format!("x86-64-v2,+{f}")) {
            out.push((Since::Feature(f.into()), m));
        }
    }
    out
}

/// A mode in which everything is switched on: CR4.OSXSAVE too.
fn enabled(wide: bool) -> ModeKey {
    ModeKey(key(wide).0 | 1 << 20)
}

/// The page.
pub fn page() -> String {
    let candidates = candidates();
    let mut since: BTreeMap<String, Since> = BTreeMap::new();
    for code in Code::values() {
        let (m, o) = (code.mnemonic(), code.op_code());
        if m == Mnemonic::INVALID || !o.is_instruction() {
            continue;
        }
        let name = format!("{m:?}").to_lowercase();
        let entry = since.entry(name).or_insert(Since::No);
        if o.encoding() != EncodingKind::Legacy {
            continue;
        }
        for wide in [false, true] {
            let Some((_, bytes)) = sample(code, wide) else { continue };
            let found = candidates.iter().position(|(_, model)| known_in(enabled(wide), &bytes, model));
            let before = candidates.iter().position(|(s, _)| s == entry).unwrap_or(usize::MAX);
            if let Some(n) = found
                && n < before
            {
                *entry = candidates[n].0.clone();
            }
        }
    }
    let names: Vec<&str> = CpuModel::names().collect();
    let supported = since.values().filter(|s| **s != Since::No).count();
    let mut out = HEAD.to_owned();
    let _ = writeln!(out, "{supported} of {} mnemonics are supported.\n", since.len());
    let _ = writeln!(out, "| mnemonic | since |\n|---|---|");
    for (name, s) in &since {
        let text = match s {
            Since::Model(n) => names[*n].to_owned(),
            Since::Feature(f) => format!("+{f}"),
            Since::No => "no".into(),
        };
        let _ = writeln!(out, "| {name} | {text} |");
    }
    out
}
