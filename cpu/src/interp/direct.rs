//! `impl Ops for Direct`: values are integers, and running a meaning is running the instruction.

use super::{Direct, flags, flags::Flags};
use crate::{
    Fault,
    insn::{Insn, ModeKey, seg_from},
    mmu::Access,
    ops::*,
    state::{Seg, flag},
};

impl Direct<'_> {
    /// Puts `count` and `rip` in place for code that looks at them.
    #[inline(always)]
    pub(super) fn place(&mut self, i: &Insn) {
        self.x.count = self.count0 + u64::from(self.at);
        self.x.cpu.rip = self.start_of(i);
    }

    /// The address of instruction `i`.
    #[inline(always)]
    pub(super) fn start_of(&self, i: &Insn) -> u64 {
        self.rip_base.wrapping_add(u64::from(i.off)) & Insn::mask(i.code_width())
    }

    /// Writes the status flags to `cpu.rflags`.
    #[inline(always)]
    pub(super) fn sync_flags(&mut self) {
        self.x.cpu.rflags = self.x.cpu.rflags & !flag::STATUS | self.flags.bits();
    }

    /// Takes the status flags from `cpu.rflags`.
    #[inline(always)]
    pub(super) fn take_flags(&mut self) {
        self.flags = Flags::from_rflags(self.x.cpu.rflags);
    }

    /// Whether the boundary after `i` needs no look: a frequent system instruction after which nothing is pending.
    /// The mode may be another one then.
    fn goes_on(&mut self, i: &Insn) -> bool {
        let left = self.x.limit.saturating_sub(self.x.count + 1);
        if i.kind == 0 || !self.x.smooth(left) {
            return false;
        }
        self.key = self.key.after(self.x.cpu, i);
        true
    }

    /// The same after `i` has set RIP.
    fn arrives(&mut self) -> bool {
        if !self.x.smooth(self.x.limit.saturating_sub(self.x.count + 1)) {
            return false;
        }
        self.key = ModeKey::of(self.x.cpu);
        // Links between blocks are by offset and hold for one base of CS: none is followed from here.
        self.rip_base = self.x.cpu.rip.wrapping_sub(1 << 32);
        true
    }

    /// After something left the fast path: if code changed, a chip was reached or a breakpoint was hit, the block ends
    /// with this instruction.
    #[inline]
    fn look_around(&mut self) {
        if self.x.derived.attention
            || !self.x.derived.code_touched.is_empty()
            || self.x.cpu.pending_debug != 0
        {
            self.attention = true;
            self.stop_at = 0;
        }
        if self.x.derived.tlb.withdrawn() != self.x.derived.withdrawn_seen {
            self.look_for_code();
        }
    }

    /// Translations have been dropped: if the running code's may be among them, the block ends with this instruction. RIP is
    /// at that.
    #[cold]
    fn look_for_code(&mut self) {
        let x = &mut self.x;
        x.derived.withdrawn_seen = x.derived.tlb.withdrawn();
        let cs = x.cpu.seg[Seg::Cs as usize].base;
        let (base, mask) = if self.key.code64() { (0, u64::MAX) } else { (cs, 0xffff_ffff) };
        // A block that goes on in a second page has offsets from the start of the first.
        let kept = |rip: u64| x.derived.tlb.hit_execute(base.wrapping_add(rip) & mask).is_some();
        let rip = x.cpu.rip;
        if ![self.rip_base, rip, rip.wrapping_add(15)].into_iter().all(kept) {
            self.attention = true;
            self.stop_at = 0;
        }
    }

    #[inline(always)]
    fn done<T>(&mut self, r: Result<T, Fault>) -> Result<T, Bail> {
        r.map_err(|f| self.raise(f))
    }

    #[inline(never)]
    fn load_slow(&mut self, i: &Insn, seg: u8, ea: u64, w: u8) -> Result<u64, Bail> {
        self.place(i);
        let x = &mut self.x;
        let r = x.linear(seg_from(seg), ea, u64::from(w), Access::Read).and_then(|at| match w {
            1 => x.load::<u8>(at).map(u64::from),
            2 => x.load::<u16>(at).map(u64::from),
            4 => x.load::<u32>(at).map(u64::from),
            _ => x.load::<u64>(at),
        });
        self.look_around();
        self.done(r)
    }

    #[inline(never)]
    fn store_slow(&mut self, i: &Insn, seg: u8, ea: u64, w: u8, v: u64) -> Done {
        self.place(i);
        let x = &mut self.x;
        let r = x.linear(seg_from(seg), ea, u64::from(w), Access::Write).and_then(|at| match w {
            1 => x.store(at, v as u8),
            2 => x.store(at, v as u16),
            4 => x.store(at, v as u32),
            _ => x.store(at, v),
        });
        self.look_around();
        self.done(r)
    }

    #[inline(never)]
    fn probe_slow(&mut self, i: &Insn, seg: u8, ea: u64, w: u8) -> Result<crate::mmu::WriteHandle, Bail> {
        self.place(i);
        let x = &mut self.x;
        let r = x
            .linear(seg_from(seg), ea, u64::from(w), Access::Write)
            .and_then(|at| x.probe_write(at, usize::from(w)));
        self.done(r)
    }

    #[inline(never)]
    fn load_probed(&mut self, h: &crate::mmu::WriteHandle, w: u8) -> u64 {
        let x = &mut self.x;
        match w {
            1 => x.load_probed::<u8>(h).into(),
            2 => x.load_probed::<u16>(h).into(),
            4 => x.load_probed::<u32>(h).into(),
            _ => x.load_probed::<u64>(h),
        }
    }

    #[inline(never)]
    fn store_probed(&mut self, h: &crate::mmu::WriteHandle, w: u8, v: u64) {
        let x = &mut self.x;
        match w {
            1 => x.store_probed(h, v as u8),
            2 => x.store_probed(h, v as u16),
            4 => x.store_probed(h, v as u32),
            _ => x.store_probed(h, v),
        }
        self.look_around();
    }

    #[inline(always)]
    fn ram_read(&self, at: usize, w: u8) -> u64 {
        match w {
            1 => self.x.mem.ram.read::<u8>(at).into(),
            2 => self.x.mem.ram.read::<u16>(at).into(),
            4 => self.x.mem.ram.read::<u32>(at).into(),
            _ => self.x.mem.ram.read::<u64>(at),
        }
    }

    #[inline(always)]
    fn ram_write(&self, at: usize, w: u8, v: u64) {
        match w {
            1 => self.x.mem.ram.write(at, v as u8),
            2 => self.x.mem.ram.write(at, v as u16),
            4 => self.x.mem.ram.write(at, v as u32),
            _ => self.x.mem.ram.write(at, v),
        }
    }

    #[inline(always)]
    fn after(&self, i: &Insn) -> u64 {
        self.rip_base.wrapping_add(u64::from(i.off) + u64::from(i.len))
    }

    #[cold]
    fn check_target_slow(&mut self, i: &Insn, to: u64) -> Done {
        let ok = if i.long() {
            self.x.cpu.canonical(to)
        } else {
            to <= u64::from(self.x.cpu.seg[Seg::Cs as usize].limit)
        };
        if ok { Ok(()) } else { Err(self.raise(Fault::gp(0))) }
    }

    #[inline(always)]
    fn check_target(&mut self, i: &Insn, to: u64) -> Done {
        if i.code_flat() && (!i.long() || (to << 16) as i64 >> 16 == to as i64) {
            return Ok(());
        }
        self.check_target_slow(i, to)
    }

    #[inline(never)]
    fn vec_slow(
        &mut self,
        i: &Insn,
        seg: u8,
        ea: u64,
        aligned: bool,
        write: Option<Vec128>,
    ) -> Result<Vec128, Bail> {
        self.place(i);
        let r = vec_access(&mut self.x, seg_from(seg), ea, aligned, write);
        self.look_around();
        self.done(r)
    }
}

/// In 64-bit mode the alignment of a vector is looked at before its address is found not canonical: #GP, of the stack
/// segment too.
fn misaligned(x: &crate::Exec<'_>, seg: Seg, ea: u64) -> bool {
    let base = if seg as u8 >= Seg::Fs as u8 { x.cpu.seg[seg as usize].base } else { 0 };
    x.cpu.is_64() && base.wrapping_add(ea) & 15 != 0
}

/// A load or store of 16 bytes.
pub fn vec_access(
    x: &mut crate::Exec<'_>,
    seg: Seg,
    ea: u64,
    aligned: bool,
    write: Option<Vec128>,
) -> Result<Vec128, Fault> {
    let access = if write.is_some() { Access::Write } else { Access::Read };
    // An aligned form raises #GP(0), not #AC, so segmentation is checked without its alignment rule.
    let ac = x.cpu.rflags & flag::AC;
    if aligned && misaligned(x, seg, ea) {
        return Err(Fault::gp(0));
    }
    if aligned {
        x.cpu.rflags &= !flag::AC;
    }
    let at = x.linear(seg, ea, 16, access);
    x.cpu.rflags |= ac;
    let at = at?;
    if aligned && at & 15 != 0 {
        return Err(Fault::gp(0));
    }
    if let Some(v) = write {
        let mut b = [0; 16];
        b[..8].copy_from_slice(&v.0[0].to_le_bytes());
        b[8..].copy_from_slice(&v.0[1].to_le_bytes());
        x.store_bytes(at, &b)?;
        return Ok(v);
    }
    let mut b = [0; 16];
    x.load_bytes(at, &mut b)?;
    let v = u128::from_le_bytes(b);
    Ok(Vec128([v as u64, (v >> 64) as u64]))
}

impl Ops for Direct<'_> {
    type V = u64;
    type X = Vec128;

    #[inline(always)]
    fn imm(&mut self, v: u64) -> u64 {
        v
    }
    #[inline(always)]
    fn get(&mut self, r: u8, w: u8) -> u64 {
        self.x.reg(r, w)
    }
    #[inline(always)]
    fn set(&mut self, r: u8, w: u8, v: u64) {
        self.x.set_reg(r, w, v);
    }
    #[inline(always)]
    fn pure(&mut self, op: Pure, a: u64, b: u64) -> u64 {
        match op {
            Pure::Add => a.wrapping_add(b),
            Pure::Sub => a.wrapping_sub(b),
            Pure::And => a & b,
            Pure::Or => a | b,
            Pure::Xor => a ^ b,
            Pure::Shl => a << (b & 63),
            Pure::Shr => a >> (b & 63),
            Pure::Sar => ((a as i64) >> (b & 63)) as u64,
            Pure::Eq => u64::from(a == b),
            Pure::Below => u64::from(a < b),
        }
    }
    #[inline(always)]
    fn zext(&mut self, w: u8, v: u64) -> u64 {
        v & Insn::mask(w)
    }
    #[inline(always)]
    fn sext(&mut self, w: u8, v: u64) -> u64 {
        flags::sext(w, v)
    }
    #[inline(always)]
    fn select(&mut self, c: u64, a: u64, b: u64) -> u64 {
        if c != 0 { a } else { b }
    }
    #[inline(always)]
    fn bswap(&mut self, w: u8, v: u64) -> u64 {
        v.swap_bytes() >> (64 - 8 * u32::from(w))
    }
    #[inline(always)]
    fn alu(&mut self, op: Alu, w: u8, a: u64, b: u64) -> u64 {
        let (r, f) = match op {
            Alu::Add => flags::add(w, a, b, 0),
            Alu::Adc => flags::add(w, a, b, u64::from(self.flags.cf())),
            Alu::Sub => flags::sub(w, a, b, 0),
            Alu::Sbb => flags::sub(w, a, b, u64::from(self.flags.cf())),
            Alu::And => (a & b, Flags::logic(w, a & b)),
            Alu::Or => (a | b, Flags::logic(w, a | b)),
            Alu::Xor => (a ^ b, Flags::logic(w, a ^ b)),
        };
        self.flags = f;
        r
    }
    #[inline(always)]
    fn unary(&mut self, op: Unary, w: u8, a: u64) -> u64 {
        let (r, f) = match op {
            Unary::Inc => flags::keep_cf(flags::add(w, a, 1, 0), self.flags),
            Unary::Dec => flags::keep_cf(flags::sub(w, a, 1, 0), self.flags),
            Unary::Neg => flags::sub(w, 0, a, 0),
            Unary::Not => return !a & Insn::mask(w),
        };
        self.flags = f;
        r
    }
    #[inline(always)]
    fn shift(&mut self, op: Shift, w: u8, a: u64, count: u64) -> u64 {
        match flags::shift(op, w, a, count, &self.flags) {
            Some((r, f)) => {
                self.flags = f;
                r
            }
            None => a,
        }
    }
    #[inline(always)]
    fn double_shift(&mut self, left: bool, w: u8, a: u64, b: u64, count: u64) -> u64 {
        match flags::double_shift(left, w, a, b, count) {
            Some((r, f)) => {
                self.flags = f;
                r
            }
            None => a,
        }
    }
    #[inline(always)]
    fn mul(&mut self, signed: bool, w: u8, a: u64, b: u64) -> (u64, u64) {
        let (lo, hi, over) = flags::mul(signed, w, a, b);
        self.flags = self.flags.with_cf_of(over, over);
        (lo, hi)
    }
    #[inline(always)]
    fn div(&mut self, signed: bool, w: u8, hi: u64, lo: u64, d: u64) -> Result<(u64, u64), Bail> {
        match flags::div(signed, w, hi, lo, d) {
            Some(r) => {
                self.flags = self.flags.divided();
                Ok(r)
            }
            None => Err(self.raise(Fault::de())),
        }
    }
    #[inline(always)]
    fn bits(&mut self, op: Bits, w: u8, v: u64, old: u64) -> u64 {
        let (r, f) = flags::bits(op, w, v, old, &self.flags);
        self.flags = f;
        r
    }
    #[inline(always)]
    fn bit_test(&mut self, op: BitOp, w: u8, v: u64, n: u64) -> u64 {
        let (r, bit) = flags::bit_test(op, w, v, n);
        self.flags = self.flags.with_cf(bit);
        r
    }
    #[inline(always)]
    fn cond(&mut self, c: Cond) -> u64 {
        u64::from(self.flags.cond(c.0))
    }
    #[inline(always)]
    fn flags(&mut self) -> u64 {
        self.flags.bits()
    }
    #[inline(always)]
    fn set_flags(&mut self, mask: u64, v: u64) {
        if mask == flag::CF {
            self.flags = self.flags.with_cf(v & 1 != 0);
        } else if mask & flag::STATUS != 0 {
            self.flags = Flags::from_rflags(self.flags.bits() & !mask | v & mask);
        }
        let rest = mask & flag::DF;
        self.x.cpu.rflags = self.x.cpu.rflags & !rest | v & rest;
    }
    #[inline(always)]
    fn ea(&mut self, i: &Insn) -> u64 {
        self.x.ea_from(i, self.after(i))
    }
    #[inline(always)]
    fn ea_base(&mut self, i: &Insn) -> u64 {
        self.x.ea_base(i)
    }
    #[inline(always)]
    fn load_operand(&mut self, i: &Insn, ea: u64, w: u8) -> Result<u64, Bail> {
        if i.operand_flat()
            && let Some(at) = self.x.derived.tlb.hit_read(ea, u64::from(w) - 1)
        {
            return Ok(self.ram_read(at, w));
        }
        self.load_slow(i, i.seg, ea, w)
    }
    #[inline(always)]
    fn store_operand(&mut self, i: &Insn, ea: u64, w: u8, v: u64) -> Done {
        if i.operand_flat()
            && let Some(at) = self.x.derived.tlb.hit_write(ea, u64::from(w) - 1)
        {
            self.ram_write(at, w, v);
            return Ok(());
        }
        self.store_slow(i, i.seg, ea, w, v)
    }
    #[inline(always)]
    fn system_flags(&mut self) -> u64 {
        self.x.cpu.rflags & SYSTEM_FLAGS
    }
    #[inline(always)]
    fn selector(&mut self, seg: u8) -> u64 {
        self.x.cpu.seg[seg_from(seg) as usize].selector.into()
    }
    #[inline(always)]
    fn next_ip(&mut self, i: &Insn) -> u64 {
        self.after(i) & Insn::mask(i.code_width())
    }
    #[inline(always)]
    fn load(&mut self, i: &Insn, seg: u8, ea: u64, w: u8) -> Result<u64, Bail> {
        if i.is_flat(seg)
            && let Some(at) = self.x.derived.tlb.hit_read(ea, u64::from(w) - 1)
        {
            return Ok(self.ram_read(at, w));
        }
        self.load_slow(i, seg, ea, w)
    }
    #[inline(always)]
    fn store(&mut self, i: &Insn, seg: u8, ea: u64, w: u8, v: u64) -> Done {
        if i.is_flat(seg)
            && let Some(at) = self.x.derived.tlb.hit_write(ea, u64::from(w) - 1)
        {
            self.ram_write(at, w, v);
            return Ok(());
        }
        self.store_slow(i, seg, ea, w, v)
    }
    #[inline]
    fn check_store(&mut self, i: &Insn, seg: u8, ea: u64, w: u8) -> Done {
        self.probe_slow(i, seg, ea, w).map(|_| ())
    }
    #[inline(always)]
    fn rmw(&mut self, i: &Insn, ea: u64, w: u8, f: impl FnOnce(&mut Self, u64) -> u64) -> Done {
        if i.operand_flat()
            && let Some(at) = self.x.derived.tlb.hit_write(ea, u64::from(w) - 1)
        {
            let v = self.ram_read(at, w);
            let r = f(self, v);
            self.ram_write(at, w, r);
            return Ok(());
        }
        let h = self.probe_slow(i, i.seg, ea, w)?;
        let v = self.load_probed(&h, w);
        let r = f(self, v);
        self.store_probed(&h, w, r);
        Ok(())
    }
    #[inline(always)]
    fn sp(&mut self, i: &Insn, delta: i32) -> u64 {
        let sp = self.x.cpu.gpr[4].wrapping_add(delta as i64 as u64);
        if i.stack_width() == 8 { sp } else { sp & Insn::mask(i.stack_width()) }
    }
    #[inline(always)]
    fn set_sp(&mut self, i: &Insn, v: u64) {
        if i.stack_width() == 8 {
            self.x.cpu.gpr[4] = v;
        } else {
            self.x.set_reg(4, i.stack_width(), v);
        }
    }
    #[inline(always)]
    fn fence(&mut self, _: &Insn) {}

    #[inline(always)]
    fn jump_direct(&mut self, i: &Insn, _: Jump) -> Done {
        let to = i.target(self.after(i));
        self.check_target(i, to)?;
        self.x.cpu.rip = to;
        Ok(())
    }
    #[inline(always)]
    fn jump_indirect(&mut self, i: &Insn, _: Jump, to: u64) -> Done {
        self.check_target(i, to)?;
        self.x.cpu.rip = to;
        Ok(())
    }
    #[inline(always)]
    fn check_direct(&mut self, i: &Insn) -> Done {
        let to = i.target(self.after(i));
        self.check_target(i, to)
    }
    #[inline(always)]
    fn check_indirect(&mut self, i: &Insn, to: u64) -> Done {
        self.check_target(i, to)
    }
    #[inline(always)]
    fn branch(&mut self, i: &Insn, c: u64) -> Done {
        if c != 0 {
            let to = i.target(self.after(i));
            self.check_target(i, to)?;
            self.x.cpu.rip = to;
        } else {
            self.x.cpu.rip = self.after(i) & Insn::mask(i.code_width());
        }
        Ok(())
    }
    #[inline]
    fn raise(&mut self, f: Fault) -> Bail {
        self.fault = Some(f);
        Bail::Fault
    }
    #[inline(always)]
    fn string(&mut self, i: &Insn, how: Call, f: Helper) -> Result<bool, Bail> {
        self.call(i, how, f).map(|()| true)
    }
    fn call(&mut self, i: &Insn, how: Call, f: Helper) -> Done {
        self.place(i);
        if matches!(how, Call::Inline | Call::Segment) {
            let r = f(&mut self.x, i);
            self.look_around();
            self.done(r)?;
            if how == Call::Segment {
                let key = self.key.after(self.x.cpu, i);
                if key != self.key {
                    self.key = key;
                    self.stop_at = 0;
                }
            }
            return Ok(());
        }
        self.sync_flags();
        let r = f(&mut self.x, i);
        self.take_flags();
        self.look_around();
        if let Err(f) = r {
            self.placed = true;
            return Err(self.raise(f));
        }
        if how == Call::Step {
            self.x.cpu.rip = self.x.next_rip(i);
        }
        // A string instruction changes nothing that the next one hangs on, unless it stopped half way.
        self.attention |= match how {
            Call::Inline | Call::Segment | Call::InlineFlags => false,
            Call::Step => !self.goes_on(i),
            Call::Transfer => !self.arrives(),
            Call::Counted => self.x.cpu.rflags & flag::RF != 0,
        };
        Ok(())
    }

    #[inline(always)]
    fn xmm(&mut self, r: u8) -> Vec128 {
        let v = &self.x.cpu.vec[r as usize & 15].0;
        Vec128([v[0], v[1]])
    }
    #[inline(always)]
    fn set_xmm(&mut self, r: u8, x: Vec128) {
        let v = &mut self.x.cpu.vec[r as usize & 15].0;
        v[0] = x.0[0];
        v[1] = x.0[1];
    }
    #[inline(always)]
    fn load_x(&mut self, i: &Insn, seg: u8, ea: u64, aligned: bool) -> Result<Vec128, Bail> {
        if i.is_flat(seg)
            && (!aligned || ea & 15 == 0)
            && let Some(at) = self.x.derived.tlb.hit_read(ea, 15)
        {
            return Ok(Vec128([self.x.mem.ram.read(at), self.x.mem.ram.read(at + 8)]));
        }
        self.vec_slow(i, seg, ea, aligned, None)
    }
    #[inline(always)]
    fn store_x(&mut self, i: &Insn, seg: u8, ea: u64, aligned: bool, x: Vec128) -> Done {
        if i.is_flat(seg)
            && (!aligned || ea & 15 == 0)
            && let Some(at) = self.x.derived.tlb.hit_write(ea, 15)
        {
            self.x.mem.ram.write(at, x.0[0]);
            self.x.mem.ram.write(at + 8, x.0[1]);
            return Ok(());
        }
        self.vec_slow(i, seg, ea, aligned, Some(x)).map(|_| ())
    }
    #[inline(always)]
    fn x_low(&mut self, w: u8, x: Vec128) -> u64 {
        x.0[0] & Insn::mask(w)
    }
    #[inline(always)]
    fn x_high(&mut self, x: Vec128) -> u64 {
        x.0[1]
    }
    #[inline(always)]
    fn x_from(&mut self, low: u64, high: u64) -> Vec128 {
        Vec128([low, high])
    }
    #[inline(always)]
    fn vec<M: VecOp>(&mut self, i: &Insn, a: Vec128, b: Vec128) -> Result<Vec128, Bail> {
        if M::FLAGS {
            self.sync_flags();
        }
        let r = M::run(&mut self.x, i, a, b);
        if M::FLAGS {
            self.take_flags();
        }
        self.done(r)
    }
    #[inline(always)]
    fn mmx(&mut self, r: u8) -> u64 {
        self.x.cpu.fpu.regs[r as usize & 7].mant
    }
    #[inline(always)]
    fn set_mmx(&mut self, r: u8, v: u64) {
        let f = &mut self.x.cpu.fpu.regs[r as usize & 7];
        f.mant = v;
        f.se = 0xffff;
    }
    #[inline(always)]
    fn mmx_ready(&mut self, i: &Insn) -> Done {
        if self.x.cpu.fpu.pending() { self.call(i, Call::Inline, crate::helper::x87::wait) } else { Ok(()) }
    }
    #[inline(always)]
    fn mmx_enter(&mut self, _: &Insn) -> Done {
        let fpu = &mut self.x.cpu.fpu;
        fpu.sw &= !0x3800;
        fpu.tag = 0xff;
        Ok(())
    }
}
