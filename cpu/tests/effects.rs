//! What each instruction reads and writes, as `Effects` sees its meaning, against `iced-x86`'s tables: for every encoding
//! of the opcode maps, in 16-, 32- and 64-bit code, with register and memory operands.

use iced_x86::{
    Decoder, DecoderOptions, InstructionInfoFactory, InstructionInfoOptions, Mnemonic, OpAccess, OpKind,
    RflagsBits,
};
use lucid86_cpu::decode;
use lucid86_cpu::effects::{Effects, EffectsLater};
use lucid86_cpu::insn::ModeKey;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::flag;
use std::collections::BTreeMap;

/// Encodings to look at: prefixes, map, opcode, ModRM; each with the same tail.
fn encodings(bits: u32) -> Vec<Vec<u8>> {
    let prefixes: &[&[u8]] =
        &[&[], &[0x66], &[0xf2], &[0xf3], &[0x67], &[0x48], &[0x66, 0x48], &[0xf3, 0x48], &[0x4d]];
    let maps: &[&[u8]] = &[&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];
    let mut all = Vec::new();
    for p in prefixes.iter().filter(|p| bits == 64 || !p.iter().any(|b| b & 0xf0 == 0x40)) {
        for m in maps {
            for op in 0..=255u8 {
                for reg in 0..8u8 {
                    // Two registers; [base]; [base+index*8+disp8].
                    for tail in [&[0xc1 | reg << 3][..], &[0x03 | reg << 3], &[0x44 | reg << 3, 0xf3, 0x10]] {
                        let mut v = [*p, *m, &[op], tail].concat();
                        v.extend([0x21, 0x32, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08]);
                        v.truncate(15);
                        all.push(v);
                    }
                }
            }
        }
    }
    all
}

fn flags_of(f: u32) -> u64 {
    let map = [
        (RflagsBits::OF, flag::OF),
        (RflagsBits::SF, flag::SF),
        (RflagsBits::ZF, flag::ZF),
        (RflagsBits::AF, flag::AF),
        (RflagsBits::CF, flag::CF),
        (RflagsBits::PF, flag::PF),
        (RflagsBits::DF, flag::DF),
    ];
    map.iter().filter(|(i, _)| f & i != 0).map(|(_, o)| o).sum()
}

#[derive(Default)]
struct Table {
    read: u16,
    written: u16,
    maybe_read: u16,
    maybe_written: u16,
    vector: [u16; 4],
}

fn registers(info: &iced_x86::InstructionInfo) -> Table {
    let mut t = Table::default();
    for u in info.used_registers() {
        let full = u.register().full_register();
        let n = 1u16 << (full.number() & 15);
        let (r, w, mr, mw) = match u.access() {
            OpAccess::Read => (n, 0, 0, 0),
            OpAccess::CondRead => (0, 0, n, 0),
            OpAccess::Write => (0, n, 0, 0),
            OpAccess::CondWrite => (0, 0, n, n),
            OpAccess::ReadWrite => (n, n, 0, 0),
            OpAccess::ReadCondWrite => (n, 0, 0, n),
            _ => (0, 0, 0, 0),
        };
        if full.is_gpr() {
            t.read |= r;
            t.written |= w;
            t.maybe_read |= mr;
            t.maybe_written |= mw;
        } else if full.is_vector_register() {
            for (v, x) in t.vector.iter_mut().zip([r, w, mr, mw]) {
                *v |= x;
            }
        }
    }
    t
}

/// Where our meaning rightly says less or more than the table.
fn excused(m: Mnemonic, what: &str) -> bool {
    match m {
        // Of 16 bits it yields zero, whatever the register held.
        Mnemonic::Bswap => what == "registers read",
        // The table lists five flags, the meaning takes all six and stores five.
        Mnemonic::Lahf => what == "flags read",
        // Hints: not even the address is computed.
        Mnemonic::Prefetch
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchwt1
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2
        | Mnemonic::Prefetchit0
        | Mnemonic::Prefetchit1
        | Mnemonic::Cldemote => true,
        // On a processor without shadow stacks RDSSP does nothing (SDM vol. 2B, "RDSSPD/RDSSPQ"); no model has them.
        Mnemonic::Rdsspd | Mnemonic::Rdsspq => true,
        // Without the feature they are BSF and BSR.
        Mnemonic::Lzcnt | Mnemonic::Tzcnt => true,
        _ => false,
    }
}

fn compare(
    e: &Effects,
    ins: &iced_x86::Instruction,
    info: &iced_x86::InstructionInfo,
) -> Option<&'static str> {
    let t = registers(info);
    let same = ins.op_count() > 1
        && ins.op0_kind() == OpKind::Register
        && ins.op1_kind() == OpKind::Register
        && ins.op0_register() == ins.op1_register();
    if same {
        return None;
    }
    if t.read & !e.reads != 0 || e.reads & !(t.read | t.maybe_read) != 0 {
        return Some("registers read");
    }
    if t.written & !e.writes != 0 || e.writes & !(t.written | t.maybe_written) != 0 {
        return Some("registers written");
    }
    let [r, w, mr, mw] = t.vector;
    if r & !e.vector_reads != 0 || e.vector_reads & !(r | mr | w | mw) != 0 {
        return Some("vector registers read");
    }
    if w & !e.vector_writes != 0 || e.vector_writes & !(w | mw) != 0 {
        return Some("vector registers written");
    }
    if flags_of(ins.rflags_read()) != e.flags_read {
        return Some("flags read");
    }
    let defined = flags_of(ins.rflags_written() | ins.rflags_cleared() | ins.rflags_set());
    if defined & !e.flags_written != 0 || e.flags_written & !flags_of(ins.rflags_modified()) != 0 {
        return Some("flags written");
    }
    let known = info.used_memory();
    // In 64-bit code the prefixes of ES, CS, SS and DS mean nothing; the table names them all the same.
    let long = ins.code_size() == iced_x86::CodeSize::Code64;
    let segment = |s: u8| if long && s < 4 { 3 } else { s };
    let reads = |a: OpAccess| {
        matches!(a, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
    };
    let writes = |a: OpAccess| {
        matches!(a, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
    };
    let list = |f: &dyn Fn(OpAccess) -> bool| {
        let mut v: Vec<(u8, usize)> = known
            .iter()
            .filter(|m| f(m.access()))
            .map(|m| (segment(m.segment().number() as u8), m.memory_size().size()))
            .collect();
        v.sort_unstable();
        v
    };
    let ours = |f: &dyn Fn(&lucid86_cpu::effects::MemoryEffect) -> bool| {
        let mut v: Vec<(u8, usize)> =
            e.memory.iter().filter(|m| f(m)).map(|m| (segment(m.seg), usize::from(m.bytes))).collect();
        v.sort_unstable();
        v
    };
    if list(&reads) != ours(&|m| m.read) {
        return Some("memory read");
    }
    if list(&writes) != ours(&|m| m.write) {
        return Some("memory written");
    }
    None
}

#[test]
fn effects_agree_with_the_tables() {
    let model = CpuModel::default();
    let mut factory = InstructionInfoFactory::new();
    let mut wrong: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let (mut seen, mut opaque) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for (bits, key) in [(16, ModeKey(0)), (32, ModeKey(5)), (64, ModeKey(2 | 2 << 2 | 1 << 8))] {
        for bytes in encodings(bits) {
            let ins = Decoder::with_ip(bits, &bytes, 0, DecoderOptions::NONE).decode();
            if ins.is_invalid() {
                continue;
            }
            let Some((ins, i, later)) = decode::with(EffectsLater, &bytes, 0, key, &model) else { continue };
            let e = later(&i);
            if e.opaque {
                opaque.insert(ins.code() as usize);
                continue;
            }
            seen.insert(ins.code() as usize);
            let info = factory.info_options(&ins, InstructionInfoOptions::NONE);
            if let Some(what) = compare(&e, &ins, info)
                && !excused(ins.mnemonic(), what)
            {
                let line = format!(
                    "{bits} {bytes:02x?} {ins:?}\n    ours {e:x?}\n    table {:?} {:?}",
                    info.used_registers(),
                    info.used_memory()
                );
                let entry = wrong.entry(format!("{:?}: {what}", ins.mnemonic())).or_insert((0, line));
                entry.0 += 1;
            }
        }
    }
    for (k, (n, line)) in wrong.iter().take(60) {
        println!("{k} ({n})\n  {line}");
    }
    println!("{} encodings compared, {} by helpers only", seen.len(), opaque.len());
    assert!(wrong.is_empty(), "{} differences", wrong.len());
    assert!(seen.len() > 800, "{}", seen.len());
}
