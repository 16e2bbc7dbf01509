//! A thin layer over `iced-x86`'s `CodeAssembler`: names instead of label values, data and strings between the code,
//! entry points at fixed addresses, and short or near branches as the distance asks.
//!
//! The program is a closure that is run several times. Each pass knows the addresses that the pass before found, until
//! nothing moves any more. So a name may be used before it is defined, also in data and in arithmetic.
//!
//! A name that starts with a dot belongs to the last name without one, as in NASM. Names are offsets in one 64 KiB
//! segment; [`Rom`](crate::Rom) turns them into symbols.

mod branch;
mod operand;
#[cfg(test)]
mod tests;

use iced_x86::code_asm::CodeAssembler;
use iced_x86::{Encoder, Instruction};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

pub(crate) use operand::{Arg, byte, cs_at, dword, es_at, fs_at, word};

/// Writes instructions, one a line: `asm! { a; mov ax, [bp + 4]; jz ".done"; at ".done"; ret; }`. Operands are Rust
/// expressions; `[x]` is memory of the other operand's size, a string is a name's offset.
macro_rules! asm {
    ($a:expr; $($op:ident $($arg:expr),* ;)*) => {{
        #[allow(unused_imports)]
        use crate::asm::prelude::*;
        $( asm!(@one $a, $op $(, $arg)*); )*
    }};
    (@one $a:expr, at, $x:expr) => { $a.at($x) };
    (@one $a:expr, text, $x:expr) => { $a.text($x) };
    (@one $a:expr, db, $x:expr) => { $a.db($x) };
    (@one $a:expr, words, $x:expr) => { $a.words($x) };
    (@one $a:expr, table, $x:expr) => { $a.table($x) };
    (@one $a:expr, $op:ident) => {{ let r = $a.$op(); $a.check(r); }};
    (@one $a:expr, $op:ident, $x:expr) => {{
        let x = Arg::arg($x, &*$a);
        let r = $a.$op(x);
        $a.check(r);
    }};
    (@one $a:expr, $op:ident, $x:expr, $y:expr) => {{
        let x = Arg::arg($x, &*$a);
        let y = Arg::arg($y, &*$a);
        let r = $a.$op(x, y);
        $a.check(r);
    }};
    (@one $a:expr, $op:ident, $x:expr, $y:expr, $z:expr) => {{
        let x = Arg::arg($x, &*$a);
        let y = Arg::arg($y, &*$a);
        let z = Arg::arg($z, &*$a);
        let r = $a.$op(x, y, z);
        $a.check(r);
    }};
}
pub(crate) use asm;

/// What a line of [`asm!`] may name.
pub(crate) mod prelude {
    pub(crate) use super::{Arg, byte, cs_at, dword, es_at, fs_at, word};
    pub(crate) use iced_x86::code_asm::registers::*;
}

/// What a pseudo-instruction or instruction answers; errors are collected, not returned.
pub(crate) type Outcome = Result<(), iced_x86::IcedError>;

/// Address of each name, as an offset in the segment.
pub(crate) type Names = BTreeMap<String, i32>;

/// The assembler. Instructions are those of [`CodeAssembler`] by `Deref`; branches and pseudo-instructions are ours.
pub(crate) struct Asm {
    inner: CodeAssembler,
    encoder: Encoder,
    /// Offset of the next byte.
    here: usize,
    image: Vec<u8>,
    used: Vec<bool>,
    scope: String,
    /// Names of the pass before.
    known: Names,
    /// Names of this pass.
    names: Names,
    /// Whether names of the pass before exist.
    settled: bool,
    errors: Vec<String>,
}

impl Deref for Asm {
    type Target = CodeAssembler;
    fn deref(&self) -> &CodeAssembler {
        &self.inner
    }
}

impl DerefMut for Asm {
    fn deref_mut(&mut self) -> &mut CodeAssembler {
        &mut self.inner
    }
}

/// The bytes and names of a finished segment.
pub(crate) struct Segment {
    /// The whole segment; unused bytes are zero.
    pub(crate) bytes: Vec<u8>,
    /// One past the last byte used.
    pub(crate) end: usize,
    /// Names, local ones as `outer.inner`.
    pub(crate) names: Names,
}

/// Runs `program` until its addresses are stable. Panics on a mistake in the program: that is ours, and a test finds it.
pub(crate) fn assemble(size: usize, mut program: impl FnMut(&mut Asm)) -> Segment {
    const PASSES: usize = 24;
    let mut known = Names::new();
    for pass in 0..PASSES {
        let mut asm = Asm::new(size, known, pass > 0);
        program(&mut asm);
        asm.flush();
        let moved = asm.names != asm.known;
        if !moved && pass > 0 {
            assert!(asm.errors.is_empty(), "firmware source: {}", asm.errors.join("\n"));
            let end = asm.used.iter().rposition(|&u| u).map_or(0, |p| p + 1);
            return Segment { bytes: asm.image, end, names: asm.names };
        }
        known = asm.names;
    }
    panic!("firmware source: addresses do not settle");
}

impl Asm {
    fn new(size: usize, known: Names, settled: bool) -> Asm {
        Asm {
            inner: CodeAssembler::new(16).expect("16 is a bitness"),
            encoder: Encoder::new(16),
            here: 0,
            image: vec![0; size],
            used: vec![false; size],
            scope: String::new(),
            known,
            names: Names::new(),
            settled,
            errors: Vec::new(),
        }
    }

    /// Takes note of what an instruction said.
    pub(crate) fn check(&mut self, outcome: Outcome) {
        if let Err(e) = outcome {
            self.errors.push(format!("after {}: {e}", self.scope));
        }
        self.flush();
    }

    /// Encodes what the inner assembler holds.
    fn flush(&mut self) {
        if self.inner.instructions().is_empty() {
            return;
        }
        for k in 0..self.inner.instructions().len() {
            let instruction = self.inner.instructions()[k];
            self.encode(&instruction);
        }
        self.inner.reset();
    }

    fn encode(&mut self, instruction: &Instruction) {
        let outcome = self.encoder.encode(instruction, self.here as u64);
        let mut bytes = self.encoder.take_buffer();
        match outcome {
            Ok(_) => self.put(&bytes),
            Err(e) => self.errors.push(format!("after {} ({instruction}): {e}", self.scope)),
        }
        // The buffer goes round.
        bytes.clear();
        self.encoder.set_buffer(bytes);
    }

    fn put(&mut self, bytes: &[u8]) {
        for &b in bytes {
            if self.here >= self.image.len() || self.used[self.here] {
                self.errors.push(format!("no room at {:04X}, after {}", self.here, self.scope));
                return;
            }
            self.image[self.here] = b;
            self.used[self.here] = true;
            self.here += 1;
        }
    }

    fn full_name(&self, name: &str) -> String {
        if name.starts_with('.') { format!("{}{name}", self.scope) } else { name.to_owned() }
    }

    /// The offset of a name.
    pub(crate) fn o(&self, name: &str) -> i32 {
        let full = self.full_name(name);
        match self.known.get(&full) {
            Some(&at) => at,
            None if !self.settled => self.here as i32,
            None => panic!("firmware source: no such name: {full}"),
        }
    }

    /// Defines a name here.
    pub(crate) fn at(&mut self, name: &str) {
        let full = self.full_name(name);
        if !name.starts_with('.') {
            // "outer.inner" goes on with outer's local names.
            self.scope = full.split('.').next().unwrap_or_default().to_owned();
        }
        if self.names.insert(full.clone(), self.here as i32).is_some() {
            self.errors.push(format!("{full} is defined twice"));
        }
    }

    /// Continues at a fixed offset.
    pub(crate) fn org(&mut self, offset: i32) -> Outcome {
        self.here = offset as usize;
        Ok(())
    }

    /// Where the next byte goes.
    pub(crate) fn here(&self) -> i32 {
        self.here as i32
    }

    /// Skips to a multiple of `to`.
    pub(crate) fn align(&mut self, to: i32) -> Outcome {
        self.here = self.here.next_multiple_of(to as usize);
        Ok(())
    }

    /// Code from here on is for a 16- or 32-bit segment.
    pub(crate) fn bits(&mut self, bits: i32) -> Outcome {
        self.inner = CodeAssembler::new(bits as u32).expect("16 and 32 are bitnesses");
        self.encoder = Encoder::new(bits as u32);
        Ok(())
    }

    /// Bytes.
    pub(crate) fn db(&mut self, value: impl Bytes) {
        value.each(&mut |b| self.put(&[b]));
    }

    /// A word: a number or a name's offset.
    pub(crate) fn dw(&mut self, value: i32) -> Outcome {
        self.put(&(value as u16).to_le_bytes());
        Ok(())
    }

    /// A doubleword.
    pub(crate) fn dd(&mut self, value: i32) -> Outcome {
        self.put(&value.to_le_bytes());
        Ok(())
    }

    /// A string that ends with a zero byte.
    pub(crate) fn text(&mut self, value: &str) {
        self.put(value.as_bytes());
        self.put(&[0]);
    }

    /// Words, each a number.
    pub(crate) fn words(&mut self, values: &[u16]) {
        for v in values {
            self.put(&v.to_le_bytes());
        }
    }

    /// Words, each a name's offset.
    pub(crate) fn table(&mut self, names: &[&str]) {
        for name in names {
            let at = self.o(name);
            self.put(&(at as u16).to_le_bytes());
        }
    }
}

/// What `db` takes.
pub(crate) trait Bytes {
    /// Hands over each byte in turn.
    fn each(&self, put: &mut dyn FnMut(u8));
}

impl Bytes for i32 {
    fn each(&self, put: &mut dyn FnMut(u8)) {
        put(*self as u8);
    }
}

impl Bytes for &[u8] {
    fn each(&self, put: &mut dyn FnMut(u8)) {
        self.iter().for_each(|&b| put(b));
    }
}

impl<const N: usize> Bytes for &[u8; N] {
    fn each(&self, put: &mut dyn FnMut(u8)) {
        self.iter().for_each(|&b| put(b));
    }
}
