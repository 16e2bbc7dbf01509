//! Exceptions as values. A guest's mistake travels as a [`Fault`] up to the engine, which delivers it.
//!
//! Follows Intel SDM volume 3, chapter 6 ("Interrupt and Exception Handling").

/// An interrupt or exception vector, 0 to 255.
pub type Vector = u8;

/// Vectors of the architecture's exceptions (SDM volume 3, table 6-1).
#[allow(missing_docs)]
pub mod vector {
    pub const DE: u8 = 0;
    pub const DB: u8 = 1;
    pub const NMI: u8 = 2;
    pub const BP: u8 = 3;
    pub const OF: u8 = 4;
    pub const BR: u8 = 5;
    pub const UD: u8 = 6;
    pub const NM: u8 = 7;
    pub const DF: u8 = 8;
    pub const TS: u8 = 10;
    pub const NP: u8 = 11;
    pub const SS: u8 = 12;
    pub const GP: u8 = 13;
    pub const PF: u8 = 14;
    pub const MF: u8 = 16;
    pub const AC: u8 = 17;
    pub const MC: u8 = 18;
    pub const XM: u8 = 19;
}

/// The error code an exception pushes, if it pushes one.
pub type FaultCode = Option<u32>;

/// An exception that the current instruction raises. Nothing of the instruction has happened yet when one is
/// returned (fault class), except what DESIGN §2 lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which exception.
    pub vector: Vector,
    /// Its error code (none for exceptions that push none; the engine drops it in real mode).
    pub code: FaultCode,
    /// For #PF: the linear address, which goes to CR2 on delivery. For #DB: the DR6 bits to set.
    pub info: u64,
}

#[allow(missing_docs)]
impl Fault {
    pub const fn new(vector: Vector) -> Fault {
        Fault { vector, code: None, info: 0 }
    }
    pub const fn with_code(vector: Vector, code: u32) -> Fault {
        Fault { vector, code: Some(code), info: 0 }
    }
    pub const fn ud() -> Fault {
        Fault::new(vector::UD)
    }
    pub const fn de() -> Fault {
        Fault::new(vector::DE)
    }
    pub const fn nm() -> Fault {
        Fault::new(vector::NM)
    }
    pub const fn mf() -> Fault {
        Fault::new(vector::MF)
    }
    pub const fn xm() -> Fault {
        Fault::new(vector::XM)
    }
    pub const fn gp(code: u32) -> Fault {
        Fault::with_code(vector::GP, code)
    }
    pub const fn ss(code: u32) -> Fault {
        Fault::with_code(vector::SS, code)
    }
    pub const fn np(code: u32) -> Fault {
        Fault::with_code(vector::NP, code)
    }
    pub const fn ts(code: u32) -> Fault {
        Fault::with_code(vector::TS, code)
    }
    pub const fn ac() -> Fault {
        Fault::with_code(vector::AC, 0)
    }
    /// A page fault at `linear` with error code `code` (SDM volume 3, section 4.7).
    pub const fn pf(linear: u64, code: u32) -> Fault {
        Fault { vector: vector::PF, code: Some(code), info: linear }
    }
    /// A debug exception that sets `dr6` bits.
    pub const fn db(dr6: u64) -> Fault {
        Fault { vector: vector::DB, code: None, info: dr6 }
    }
}
