//! Instructions from random bytes, natively and on an engine: the shapes that the oracle's encoder would not make (spare
//! prefixes, other forms of ModRM and SIB, REX bits that mean nothing).

use super::{Finding, Round};
use crate::oracle::{amd, cases, compare_one, native::Native, ours::Ours};
use crate::rng::Rng;
use lucid86_cpu::derived::Engine;

/// The fuzzer.
pub fn fuzzer(engine: Engine) -> Result<Round, String> {
    let mut host = Native::new()?;
    let mut ours = Ours::eager(engine)?;
    let model = cases::model();
    let strict = amd();
    Ok(Box::new(move |r: &mut Rng| {
        for _ in 0..50 {
            let bytes = bytes(r);
            let wide = r.one_in(2) || !host.narrow;
            if let Some(case) = cases::from_bytes(&bytes, wide, r, &model) {
                return finding(&mut host, &mut ours, &case, strict);
            }
        }
        None
    }))
}

fn bytes(r: &mut Rng) -> Vec<u8> {
    const PREFIXES: [u8; 8] = [0x66, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x67];
    let mut b = Vec::new();
    while r.one_in(2) && b.len() < 4 {
        b.push(r.pick(&PREFIXES));
    }
    if r.one_in(3) {
        b.push(0x40 | r.below(16) as u8);
    }
    match r.below(8) {
        0..=2 => b.push(0x0f),
        3 => b.extend([0x0f, 0x38]),
        4 => b.extend([0x0f, 0x3a]),
        _ => {}
    }
    while b.len() < 15 {
        b.push(r.bits() as u8);
    }
    b
}

fn finding(host: &mut Native, ours: &mut Ours, case: &cases::Case, strict: bool) -> Finding {
    let text = compare_one(host, ours, case, strict);
    (!text.is_empty()).then_some(text)
}
