//! Names of addresses, from wherever they come: files (ELF, System.map), our own firmware, the guest's memory.

pub mod export;
pub mod files;
mod kallsyms;
mod lines;
mod orc;

use std::collections::{BTreeMap, HashMap};

/// Farthest from a symbol that an address is still said to belong to it, where its size isn't known.
const FAR: u64 = 0x10_0000;
/// Most symbols.
const MOST: usize = 4 << 20;

/// Symbols by address and by name. All addresses are linear.
#[derive(Default)]
pub struct Symbols {
    by_address: BTreeMap<u64, (String, u64)>,
    by_name: HashMap<String, u64>,
    /// Where they came from, and how many.
    sources: Vec<(String, usize)>,
    /// Source lines, of files that have them.
    lines: Vec<lines::Lines>,
}

impl Symbols {
    /// Adds symbols: name, address, size (0: not known).
    pub fn add(&mut self, source: &str, list: impl IntoIterator<Item = (String, u64, u64)>) -> usize {
        let mut n = 0;
        for (name, at, size) in list {
            if self.by_address.len() >= MOST {
                break;
            }
            if name.is_empty() {
                continue;
            }
            n += 1;
            // The first name of an address is the one shown.
            self.by_address.entry(at).or_insert_with(|| (name.clone(), size));
            self.by_name.entry(name).or_insert(at);
        }
        self.sources.retain(|s| s.0 != source);
        self.sources.push((source.to_string(), n));
        n
    }

    /// The address of a name.
    pub fn address(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    /// The symbol that begins at an address.
    pub fn starts(&self, at: u64) -> Option<&str> {
        self.by_address.get(&at).map(|s| &*s.0)
    }

    /// The symbol that an address belongs to, and the offset in it.
    pub fn at(&self, at: u64) -> Option<(&str, u64)> {
        let (start, (name, size)) = self.by_address.range(..=at).next_back()?;
        let offset = at - start;
        let within = if *size > 0 { offset < *size } else { offset < FAR };
        within.then_some((name, offset))
    }

    /// The source line that an address belongs to, as `file:line`.
    pub fn line(&self, at: u64) -> Option<String> {
        self.lines.iter().find_map(|l| l.at(at))
    }

    /// Names that begin with a text, at most `most`.
    pub fn starting_with<'a>(&'a self, text: &'a str, most: usize) -> Vec<&'a str> {
        let mut found: Vec<&str> =
            self.by_name.keys().map(|n| &**n).filter(|n| n.starts_with(text)).take(most).collect();
        found.sort_unstable();
        found
    }

    /// Where they came from, and how many.
    pub fn sources(&self) -> &[(String, usize)] {
        &self.sources
    }

    /// All, by address: address, name, size.
    pub fn all(&self) -> impl Iterator<Item = (u64, &str, u64)> {
        self.by_address.iter().map(|(a, (n, s))| (*a, &**n, *s))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Symbols::default();
    }
}
