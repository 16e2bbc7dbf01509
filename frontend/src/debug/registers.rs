//! The target description that gdb gets, and where each register's bytes come from. One description for a whole session:
//! i386:x86-64, whatever mode the processor is in. Features and names of the first three groups are gdb's own ("GDB
//! manual, appendix G.5.6, i386 Features"); system registers stand in one of ours, which gdb takes as it is.
//!
//! gdb knows no CS base: `$rip` is the linear address of the next instruction, `$ip` the offset in CS.

use lucid86_machine::Machine;
use lucid86_machine::debug::registers;

/// Where a register's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The debugger core's register of this name.
    Name(&'static str),
    /// x87 register ST(n).
    St(usize),
    /// One of the x87 unit's control registers.
    Fpu(&'static str),
    /// XMM n.
    Xmm(usize),
}

/// A register of the description.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// gdb's name.
    pub name: &'static str,
    /// Bits.
    pub bits: usize,
    kind: &'static str,
    group: &'static str,
    from: From,
}

/// Registers in groups: the feature's name and its registers.
pub struct Description {
    /// All, in gdb's numbering.
    pub list: Vec<Register>,
    /// How many of them the `g` packet holds.
    pub general: usize,
    /// The text.
    pub xml: String,
}

/// gdb's order of the general registers, by the processor's numbers.
const GENERAL: [usize; 16] = [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
/// And of the segment registers.
const SEGMENTS: [usize; 6] = [1, 2, 3, 0, 4, 5];
const FPU: [&str; 8] = ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"];
const ST: [&str; 8] = ["st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7"];
const XMM: [&str; 16] = [
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
    "xmm12", "xmm13", "xmm14", "xmm15",
];
const fn r(name: &'static str, bits: usize, kind: &'static str, group: &'static str, from: From) -> Register {
    Register { name, bits, kind, group, from }
}

/// The description.
pub fn description() -> Description {
    let mut list = Vec::new();
    let mut xml = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">\
         <target><architecture>i386:x86-64</architecture>",
    );
    let mut feature = |name: &str, head: &str, registers: Vec<Register>| {
        xml += &format!("<feature name=\"{name}\">{head}");
        for r in &registers {
            let kind = if r.kind.is_empty() { String::new() } else { format!(" type=\"{}\"", r.kind) };
            let group = if r.group.is_empty() { String::new() } else { format!(" group=\"{}\"", r.group) };
            xml += &format!("<reg name=\"{}\" bitsize=\"{}\"{kind}{group}/>", r.name, r.bits);
        }
        xml += "</feature>";
        list.extend(registers);
    };
    let flags = "<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/>\
        <field name=\"\" start=\"1\" end=\"1\"/><field name=\"PF\" start=\"2\" end=\"2\"/>\
        <field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>\
        <field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"TF\" start=\"8\" end=\"8\"/>\
        <field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"DF\" start=\"10\" end=\"10\"/>\
        <field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"NT\" start=\"14\" end=\"14\"/>\
        <field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"VM\" start=\"17\" end=\"17\"/>\
        <field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"VIF\" start=\"19\" end=\"19\"/>\
        <field name=\"VIP\" start=\"20\" end=\"20\"/><field name=\"ID\" start=\"21\" end=\"21\"/></flags>";
    let pointer = |n: &str| match n {
        "rsp" | "rbp" => "data_ptr",
        _ => "int64",
    };
    let general = GENERAL.map(|i| registers::GPR64[i]);
    let mut core: Vec<Register> = general.iter().map(|n| r(n, 64, pointer(n), "", From::Name(n))).collect();
    core.push(r("rip", 64, "code_ptr", "", From::Name("pc")));
    core.push(r("eflags", 32, "i386_eflags", "", From::Name("rflags")));
    let segments = SEGMENTS.map(|i| registers::SEGMENTS[i]);
    core.extend(segments.iter().map(|n| r(n, 32, "int32", "", From::Name(n))));
    core.extend(ST.iter().enumerate().map(|(i, n)| r(n, 80, "i387_ext", "", From::St(i))));
    core.extend(FPU.iter().map(|n| r(n, 32, "int", "float", From::Fpu(n))));
    feature("org.gnu.gdb.i386.core", flags, core);
    let vectors = "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\
        <vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\
        <vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\
        <union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>\
        <field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>\
        <field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>\
        <field name=\"uint128\" type=\"uint128\"/></union>";
    let mut sse: Vec<Register> =
        XMM.iter().enumerate().map(|(i, n)| r(n, 128, "vec128", "", From::Xmm(i))).collect();
    sse.push(r("mxcsr", 32, "int", "vector", From::Name("mxcsr")));
    feature("org.gnu.gdb.i386.sse", vectors, sse);
    let bases = ["fs_base", "gs_base"];
    feature(
        "org.gnu.gdb.i386.segments",
        "",
        bases.iter().map(|n| r(n, 64, "int", "", From::Name(n))).collect(),
    );
    feature(
        "org.lucid86.system",
        "",
        registers::SYSTEM.iter().map(|n| r(n, 64, "int64", "system", From::Name(n))).collect(),
    );
    xml += "</target>";
    let general = list.iter().position(|r: &Register| r.name == "ip").unwrap_or(list.len());
    Description { list, general, xml }
}

/// The tag word as FSTENV writes it, from the abridged one (SDM volume 1, section 10.5.1.1).
fn full_tags(fpu: &lucid86_machine::cpu::Fpu) -> u64 {
    (0..8).fold(0, |tags, i| {
        let r = &fpu.regs[i];
        let tag = match (fpu.tag >> i & 1 != 0, r.se & 0x7fff, r.mant) {
            (false, ..) => 3,
            (_, 0, 0) => 1,
            (_, 0x7fff, _) | (_, 0, _) => 2,
            (_, _, m) if m >> 63 == 0 => 2,
            _ => 0,
        };
        tags | tag << (2 * i)
    })
}

impl Register {
    /// Its bytes, low first.
    pub fn read(&self, m: &Machine, cpu: usize, pc_offset: bool) -> Vec<u8> {
        let c = m.cpu(cpu);
        let mut bytes = match self.from {
            From::Name("pc") if pc_offset => c.rip.to_le_bytes().to_vec(),
            From::Name(n) => m.register(cpu, n).unwrap_or(0).to_le_bytes().to_vec(),
            From::St(i) => {
                let r = &c.fpu.regs[(usize::from(c.fpu.sw >> 11 & 7) + i) & 7];
                let mut b = r.mant.to_le_bytes().to_vec();
                b.extend(r.se.to_le_bytes());
                b
            }
            From::Fpu(n) => {
                let f = &c.fpu;
                let v = match n {
                    "fctrl" => f.cw.into(),
                    "fstat" => f.sw.into(),
                    "ftag" => full_tags(f),
                    "fiseg" => f.fcs.into(),
                    "fioff" => f.fip,
                    "foseg" => f.fds.into(),
                    "fooff" => f.fdp,
                    _ => f.fop.into(),
                };
                v.to_le_bytes().to_vec()
            }
            From::Xmm(i) => c.vec[i].0[..2].iter().flat_map(|w| w.to_le_bytes()).collect(),
        };
        bytes.resize(self.bits / 8, 0);
        bytes
    }

    /// Sets it; false if it can't be set.
    pub fn write(&self, m: &mut Machine, cpu: usize, pc_offset: bool, bytes: &[u8]) -> bool {
        if bytes.len() < self.bits / 8 {
            return false;
        }
        let mut word = [0; 8];
        let n = bytes.len().min(8);
        word[..n].copy_from_slice(&bytes[..n]);
        let v = u64::from_le_bytes(word);
        match self.from {
            From::Name("pc") if pc_offset => m.set_register(cpu, "rip", v),
            From::Name(n) => m.set_register(cpu, n, v),
            From::St(i) => {
                let se = u16::from_le_bytes([bytes[8], bytes[9]]);
                m.set_st(cpu, i, v, se);
                true
            }
            From::Xmm(i) => {
                let mut high = [0; 8];
                high.copy_from_slice(&bytes[8..16]);
                m.set_xmm(cpu, i, [v, u64::from_le_bytes(high)]);
                true
            }
            From::Fpu("fctrl") => m.set_register(cpu, "fcw", v),
            From::Fpu("fstat") => m.set_register(cpu, "fsw", v),
            From::Fpu(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_registers_stand_in_gdb_s_order() {
        // gdb's features/i386/64bit-core.xml.
        let d = description();
        let names: Vec<&str> = d.list.iter().map(|r| r.name).take(25).collect();
        let order =
            "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags cs ss ds es fs gs st0";
        assert_eq!(names.join(" "), order);
        let known = |r: &Register| matches!(r.from, From::Name(n) if registers::names().contains(&n));
        assert!(d.list[d.general..].iter().all(known) && d.list[d.general].name == "ip");
    }
}
