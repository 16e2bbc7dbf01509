//! Any bytes in any mode on any model: decoding and running them never panics, an instruction has at most 15 bytes and as
//! many as `iced-x86` says, and the count advances by what was asked for.

use super::{Finding, Round};
use crate::oracle::cases::Known;
use crate::rig::Rig;
use crate::rng::Rng;
use iced_x86::{Decoder, DecoderOptions};
use lucid86_cpu::decode;
use lucid86_cpu::derived::Engine;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::insn::ModeKey;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{Activity, Segment, TableReg, attr, cr0, flag};

const CODE: u64 = 0x8000;

/// The fuzzer.
pub fn fuzzer(engine: Engine) -> Round {
    let models: Vec<CpuModel> = CpuModel::names().filter_map(|n| CpuModel::parse(n).ok()).collect();
    let mut rigs: Vec<Rig> = models.iter().map(|m| Rig::new(m.clone(), 1 << 20, engine)).collect();
    Box::new(move |r: &mut Rng| {
        let n = r.below(models.len() as u64) as usize;
        let bytes: Vec<u8> = (0..64).map(|_| byte(r)).collect();
        decoding(&bytes, r, &models[n]).or_else(|| running(&mut rigs[n], &bytes, r))
    })
}

/// Prefixes and escapes more often than by chance.
fn byte(r: &mut Rng) -> u8 {
    const OFTEN: [u8; 20] = [
        0x0f, 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x65, 0x48, 0x4f, 0x38, 0x3a, 0xc4, 0xc5, 0x62, 0xd9, 0xdf,
        0xff, 0xc7, 0xae,
    ];
    if r.one_in(3) { r.pick(&OFTEN) } else { r.bits() as u8 }
}

fn decoding(bytes: &[u8], r: &mut Rng, model: &CpuModel) -> Finding {
    let key = ModeKey(r.bits() as u32 & 0x7f_ffff);
    if key.0 & 3 == 3 {
        return None;
    }
    let (_, i, _) = decode::with(Known, &bytes[..16], r.below(4096) as u16, key, model)?;
    let mut options = DecoderOptions::NO_WBNOINVD;
    if model.generation <= lucid86_cpu::model::Generation::I286 {
        options |= DecoderOptions::NO_INVALID_CHECK;
    }
    let theirs = Decoder::with_ip(key.bits(), &bytes[..16], 0, options).decode();
    if model.generation == lucid86_cpu::model::Generation::I286 && theirs.len() > 10 {
        // Ten bytes are the most there: #GP, whatever they are.
        return None;
    }
    let wrong = usize::from(i.len) != theirs.len() || i.len > 15;
    wrong.then(|| format!("{bytes:02x?} in {key:?}: {} bytes, not {}", i.len, theirs.len()))
}

/// A processor in some mode, with flat or odd segments, runs the bytes.
fn running(rig: &mut Rig, bytes: &[u8], r: &mut Rng) -> Finding {
    rig.poke(CODE, bytes);
    for page in 0..4 {
        rig.poke(page * 0x400 + 8 * r.below(128), &r.bits().to_le_bytes());
    }
    let c = &mut rig.cpu;
    c.reset();
    for g in &mut c.gpr {
        *g = r.integer();
    }
    c.gpr[4] = 0x7000 + r.below(64);
    c.rflags = 2 | r.bits() & c.writable_flags() & !flag::VM;
    c.seg = [Segment { limit: 0xffff, attr: 0x93, ..Segment::default() }; 6];
    c.idtr = TableReg { base: 0, limit: 0x3ff };
    if r.one_in(2) && c.model.generation >= lucid86_cpu::model::Generation::I386 {
        c.cr0 |= cr0::PE;
        for (n, s) in c.seg.iter_mut().enumerate() {
            let code = if n == 1 { attr::CODE } else { 0 };
            let big = if r.one_in(2) { attr::DB } else { 0 };
            *s =
                Segment { base: 0, limit: !0, attr: 0x93 | code | big | attr::G, selector: 8 + 8 * n as u16 };
        }
    }
    c.rip = CODE;
    c.activity = Activity::Running;
    let before = rig.count;
    let stop = rig.run(60);
    let ran = rig.count - before;
    // An x87 error that goes to the board ends the slice early.
    if stop == Stop::Limit && ran != 60 && !rig.cpu.ferr {
        return Some(format!("{bytes:02x?}: {ran} instructions of 60"));
    }
    (ran > 60).then(|| format!("{bytes:02x?}: {ran} instructions, 60 at most"))
}
