//! Where an instruction's operands come from: each a type, so that a meaning is monomorphized for its shape.

use crate::{insn::Insn, ops::*};

/// A place to read, and mostly to write.
pub trait Operand {
    /// Its value, `w` bytes.
    fn read<O: Ops>(o: &mut O, i: &Insn, w: u8) -> Result<O::V, Bail>;
    /// Writes it.
    fn write<O: Ops>(o: &mut O, i: &Insn, w: u8, v: O::V) -> Done;
    /// Reads, computes, writes. A memory place is checked as a write first.
    fn update<O: Ops>(o: &mut O, i: &Insn, w: u8, f: impl FnOnce(&mut O, O::V) -> O::V) -> Done;
}

macro_rules! register {
    ($(#[$doc:meta])* $name:ident, $field:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl Operand for $name {
            #[inline(always)]
            fn read<O: Ops>(o: &mut O, i: &Insn, w: u8) -> Result<O::V, Bail> {
                Ok(o.get(i.$field, w))
            }
            #[inline(always)]
            fn write<O: Ops>(o: &mut O, i: &Insn, w: u8, v: O::V) -> Done {
                o.set(i.$field, w, v);
                Ok(())
            }
            #[inline(always)]
            fn update<O: Ops>(o: &mut O, i: &Insn, w: u8, f: impl FnOnce(&mut O, O::V) -> O::V) -> Done {
                let v = o.get(i.$field, w);
                let v = f(o, v);
                o.set(i.$field, w, v);
                Ok(())
            }
        }
    };
}
register!(/// The first operand, a register.
    Rd, dst);
register!(/// The second operand, a register.
    Rs, src);
register!(/// The third operand, a register.
    Rt, third);

macro_rules! memory {
    ($(#[$doc:meta])* $name:ident, $ea:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl Operand for $name {
            #[inline(always)]
            fn read<O: Ops>(o: &mut O, i: &Insn, w: u8) -> Result<O::V, Bail> {
                let ea = o.$ea(i);
                o.load_operand(i, ea, w)
            }
            #[inline(always)]
            fn write<O: Ops>(o: &mut O, i: &Insn, w: u8, v: O::V) -> Done {
                let ea = o.$ea(i);
                o.store_operand(i, ea, w, v)
            }
            #[inline(always)]
            fn update<O: Ops>(o: &mut O, i: &Insn, w: u8, f: impl FnOnce(&mut O, O::V) -> O::V) -> Done {
                let ea = o.$ea(i);
                o.rmw(i, ea, w, f)
            }
        }
    };
}
memory!(/// The memory operand.
    Mem, ea);
memory!(/// The memory operand, a base with a displacement: the commonest shape has a type of its own, for speed.
    Base, ea_base);

/// The immediate.
#[derive(Clone, Copy, Debug)]
pub struct Imm;

impl Operand for Imm {
    #[inline(always)]
    fn read<O: Ops>(o: &mut O, i: &Insn, w: u8) -> Result<O::V, Bail> {
        Ok(o.imm(i.imm & Insn::mask(w)))
    }
    /// Never asked for: no instruction writes an immediate.
    fn write<O: Ops>(_: &mut O, _: &Insn, _: u8, _: O::V) -> Done {
        Ok(())
    }
    /// As `write`.
    fn update<O: Ops>(_: &mut O, _: &Insn, _: u8, _: impl FnOnce(&mut O, O::V) -> O::V) -> Done {
        Ok(())
    }
}
