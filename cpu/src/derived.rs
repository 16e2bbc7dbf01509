//! State derived from guest state: TLB and decoded blocks. Never saved, can't be seen by the guest; dropping it at any
//! moment changes nothing but speed (DESIGN §2).

use crate::Fault;
use crate::interp::blocks::Blocks;
use crate::jit::Jit;
use crate::memory::Touch;
use crate::mmu::Tlb;

impl Derived {
    /// Empty, for an engine.
    pub fn new(engine: Engine) -> Derived {
        Derived { engine, ..Derived::default() }
    }

    /// The same, but each block is translated before its first run: for tests, which run little twice.
    pub fn eager(self) -> Derived {
        Derived { eager: true, ..self }
    }

    /// The same, as on a host none of whose undefined flags are as both engines define them: for tests, since each host has
    /// one maker.
    pub fn own_flags(self) -> Derived {
        Derived { own_flags: true, ..self }
    }

    /// The same, with room for `bytes` of translated code (two to the power of 20 to 30): when it is full all code is
    /// dropped and made again as it is needed.
    pub fn code_memory(self, bytes: u64) -> Derived {
        Derived { code_memory: Some(bytes.clamp(1 << 20, 1 << 30) as usize), ..self }
    }

    /// The same, with the time in each engine measured if `yes`, and `list` hot blocks in its report.
    pub fn measured(self, yes: bool, list: usize) -> Derived {
        Derived { measure: yes, list, ..self }
    }
}

/// Who runs guest code. All give the same results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Decoded blocks, interpreted.
    Interpreter,
    /// Hot blocks are translated, where the host allows it; everything else is interpreted.
    Translator,
    /// The engine that serves best: the translator, where the host allows it.
    #[default]
    Auto,
}

impl Engine {
    /// From its name on the command line.
    pub fn parse(word: &str) -> Option<Engine> {
        match word {
            "interpreter" => Some(Engine::Interpreter),
            "translator" => Some(Engine::Translator),
            "auto" => Some(Engine::Auto),
            _ => None,
        }
    }
}

/// One machine's derived state, shared by its processors.
#[derive(Default)]
pub struct Derived {
    /// Address translations.
    pub tlb: Tlb,
    /// Decoded blocks. The engine takes them out while it runs.
    pub blocks: Blocks,
    /// Which engine runs.
    pub engine: Engine,
    /// The translator, once it is there.
    pub jit: Option<Box<Jit>>,
    /// Bytes for translated code, if not as many as usual.
    pub(crate) code_memory: Option<usize>,
    /// Whether each block is translated before its first run.
    pub(crate) eager: bool,
    /// Whether the host's undefined flags aren't used.
    pub(crate) own_flags: bool,
    /// A fault that translated code's shared functions raised.
    pub(crate) jit_fault: Option<Fault>,
    /// Numbers for code segment bases.
    pub(crate) bases: crate::jit::Bases,
    /// [`Tlb::code_changes`] when translated code's idea of the space was last found right.
    pub(crate) space_seen: u32,
    /// TLB misses of translated code.
    pub(crate) fills: u64,
    /// Direct access was taken away while translated code filled the TLB.
    pub(crate) fill_withdrew: bool,
    /// [`Tlb::withdrawn`] when the interpreter last looked whether the running code is still there.
    pub(crate) withdrawn_seen: u64,
    /// The count of instructions at which translated code goes on with RF set, with no breakpoint to mask and nothing to come
    /// in between: it is cleared by whoever sees RFLAGS after the next instruction.
    pub(crate) resumed: Option<u64>,
    /// The native block whose group's leader couldn't serve, and the page that it asked for.
    pub(crate) group_missed: Option<(u32, u64)>,
    /// A translation whose guesses fail.
    pub(crate) strayed: Option<u32>,
    /// Instructions that the interpreter ran in the middle of translated code.
    pub(crate) slow: u64,
    /// Whether to measure the time in each engine.
    pub measure: bool,
    /// How many of the hottest translated blocks the report lists.
    pub(crate) list: usize,
    /// Time spent in translated code (and in what it calls), translating, and in everything, if measured.
    pub(crate) times: [std::time::Duration; 3],
    /// The board was called: interrupt line and end of slice must be looked at before the next instruction.
    pub attention: bool,
    /// Ring 3 was entered. For whoever clears it.
    pub outer_ran: bool,
    /// What a debugger watches.
    pub watch: crate::watch::Watch,
    /// Stores to frames with decoded code that the engine has yet to look at.
    pub code_touched: Vec<Touch>,
    /// A buffer that goes round, so that page-table stores allocate nothing.
    pub(crate) touch_buffer: Vec<Touch>,
}
