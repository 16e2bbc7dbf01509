//! The board is the schematic of the PC: every chip a named field, one table of wires ([`wires`]), and the few places
//! where a signal of one chip is an input of another. A 440FX/PIIX3 machine.

mod access;
mod fw_cfg;
mod input;
pub mod layout;
mod lines;
mod map;
mod network;
pub mod outside;
pub mod setup;
pub mod wires;

pub use map::Frames;
pub use network::{CARDS, FIRST_SLOT};

use crate::config::LogSpec;
use lucid86_cpu::Memory;
use lucid86_devices::debug::{DebugConsole, DebugExit};
use lucid86_devices::dma::DmaControllers;
use lucid86_devices::floppy::Floppy;
use lucid86_devices::fpu_error::FpuError;
use lucid86_devices::fw_cfg::FwCfg;
use lucid86_devices::hpet::Hpet;
use lucid86_devices::i8042::I8042;
use lucid86_devices::ide::Ide;
use lucid86_devices::ioapic::IoApic;
use lucid86_devices::lapic::Lapic;
use lucid86_devices::net::ne2000::Ne2000;
use lucid86_devices::parallel::Parallel;
use lucid86_devices::pci::{ConfigMechanism, HostBridge, IsaBridge, PowerFunction, VgaFunction};
use lucid86_devices::pic::Pics;
use lucid86_devices::pit::Pit;
use lucid86_devices::pm::Pm;
use lucid86_devices::port92::Port92;
use lucid86_devices::rtc::Rtc;
use lucid86_devices::smbus::SmBus;
use lucid86_devices::speaker::Speaker;
use lucid86_devices::uart::Uart;
use lucid86_devices::vga::{DirectWindow, Vga};
use lucid86_devices::{Ctx, Time, Timed};
pub(crate) use outside::Waiting;
use outside::{Bus, Outside, VideoView};
use serde::{Deserialize, Serialize};
use wires::{PortMap, ioapic_input, irq};

/// Every chip. Saved and hashed as it stands, in this order.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chips {
    pub host_bridge: HostBridge,
    pub isa_bridge: IsaBridge,
    pub power_function: PowerFunction,
    pub vga_function: VgaFunction,
    pub mechanism: ConfigMechanism,
    pub pics: Pics,
    pub pit: Pit,
    pub rtc: Rtc,
    pub speaker: Speaker,
    /// COM1 to COM4.
    pub uarts: [Uart; 4],
    pub i8042: I8042,
    pub ide: Ide,
    pub vga: Vga,
    pub port92: Port92,
    pub pm: Pm,
    pub smbus: SmBus,
    pub dma: DmaControllers,
    pub floppy: Floppy,
    pub parallel: Parallel,
    pub hpet: Hpet,
    pub fpu_error: FpuError,
    pub fw_cfg: FwCfg,
    pub debug_console: DebugConsole,
    pub debug_exit: DebugExit,
    pub ioapic: IoApic,
    /// One for each processor, if its model has one.
    pub lapics: Vec<Lapic>,
    /// Network cards.
    pub nics: Vec<Ne2000>,
    /// Levels of the ISA interrupt requests as the controllers last saw them.
    pub lines: u16,
    /// Levels of the HPET's comparators that are wired to pins of the IOAPIC, by comparator.
    pub hpet_levels: u8,
}

/// What the guest asked of the machine as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Reset, as after power-on but with memory kept.
    Reset(&'static str),
    /// INIT to all processors: the chips stay as they are.
    Init(&'static str),
    /// Firmware is about to look for something to boot: its part is done.
    Boot,
    /// Power off.
    PowerOff,
    /// End with this value written to the debug-exit port.
    DebugExit(u32),
}

/// A signal to one processor that the main loop carries there.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Nmi(usize),
    Smi(usize),
    Init(usize),
    Startup(usize, u8),
}

/// The board.
pub struct Board {
    /// The chips.
    pub chips: Chips,
    /// What lies beyond the connectors.
    pub outside: Outside,
    /// What holds what in the one allocation.
    pub frames: Frames,
    /// A reset, power-off or the like that the main loop has to carry out.
    pub request: Option<Request>,
    /// Signals to processors.
    pub signals: Vec<Signal>,
    /// When the present slice is planned to end: a deadline before that ends it early.
    pub slice_end: Time,
    /// Lines of the log that wait for the slice boundary.
    pub log_lines: Vec<String>,
    /// What is logged.
    pub log: LogSpec,
    /// Whether the debug-exit port is there.
    pub debug_exit: bool,
    /// Whether `fw_cfg` is there: for a firmware that is not ours.
    pub fw_cfg: bool,
    /// Input or a script waits for something that the guest does: end the slice when it is done.
    pub watch: Watch,
    /// Difference of each processor's time-stamp counter to virtual time, as of the start of the slice.
    pub tsc_offsets: Vec<u64>,
    /// Changes with each write to the video chip.
    pub video_epoch: u64,
    /// The guest has stored to a chip other than its local APIC. For whoever clears it.
    pub stored: bool,
    must_end: bool,
    ports: PortMap,
    window: Option<DirectWindow>,
    occupied: Vec<map::Occupied>,
    apic_pages: Vec<u64>,
    smm_inside: bool,
    /// The last exceptions, the latest first: for the report of a triple fault.
    pub recent: [Option<crate::report::Delivery>; 4],
    video_rom_low: bool,
    shutdown_text: usize,
    jumpers: Vec<network::Jumpers>,
}

/// What else ends a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Output on a serial port.
    pub output: bool,
    /// The guest touches a serial port for which input waits.
    pub serial: bool,
    /// The guest touches the keyboard while keys wait.
    pub keyboard: bool,
    /// The guest touches a network card while frames wait for it, or arrive.
    pub packets: bool,
}

impl Chips {
    /// Each chip's name and state, in order.
    pub fn each(&self) -> Vec<(&'static str, Vec<u8>)> {
        macro_rules! each {
            ($($name:ident),*) => {{
                let Chips { $($name),* } = self;
                vec![$((stringify!($name), crate::hash::bytes_of($name))),*]
            }};
        }
        each!(
            host_bridge,
            isa_bridge,
            power_function,
            vga_function,
            mechanism,
            pics,
            pit,
            rtc,
            speaker,
            uarts,
            i8042,
            ide,
            vga,
            port92,
            pm,
            smbus,
            dma,
            floppy,
            parallel,
            hpet,
            fpu_error,
            fw_cfg,
            debug_console,
            debug_exit,
            ioapic,
            lapics,
            nics,
            lines,
            hpet_levels
        )
    }
}

impl Board {
    /// Ends the slice before the next instruction.
    pub fn end_slice(&mut self) {
        self.must_end = true;
    }

    /// At the slice boundary: the next slice may run.
    pub fn begin_slice(&mut self, end: Time) {
        self.must_end = false;
        self.slice_end = end;
    }

    /// The earliest moment at which a chip changes something by itself.
    pub fn deadline(&self) -> Option<Time> {
        self.timers().map(|t| t.1).min()
    }

    /// What a halted guest waits for: [`Board::timers`] but for the PIT where nobody hears its interrupt. Most guests leave it
    /// running when they have done with it.
    pub fn wakes(&self) -> impl Iterator<Item = Time> {
        let c = &self.chips;
        let masked =
            c.pics.master.imr() & 1 << irq::TIMER != 0 && c.ioapic.is_masked(ioapic_input(irq::TIMER));
        let deaf = masked || c.hpet.legacy();
        self.timers().filter(move |(name, _)| !deaf || *name != "pit").map(|t| t.1)
    }

    /// When the timer of a local APIC ends that is set anew for each interrupt.
    pub fn tick(&self) -> Option<Time> {
        self.chips.lapics.iter().filter(|l| !l.timer_rearms()).filter_map(Timed::deadline).min()
    }

    /// The chips that will change something by themselves, and when.
    pub fn timers(&self) -> impl Iterator<Item = (&'static str, Time)> {
        let c = &self.chips;
        let one = [
            ("pit", c.pit.deadline()),
            ("rtc", c.rtc.deadline()),
            ("i8042", c.i8042.deadline()),
            ("ide", c.ide.deadline()),
            ("pm", c.pm.deadline()),
            ("floppy", c.floppy.deadline()),
            ("hpet", c.hpet.deadline()),
        ];
        let uarts = c.uarts.iter().map(|u| ("uart", u.deadline()));
        let lapics = c.lapics.iter().map(|l| ("lapic", l.deadline()));
        one.into_iter().chain(uarts).chain(lapics).filter_map(|(n, t)| Some((n, t?)))
    }

    /// Catches every chip up to `now` and carries lines on.
    pub fn advance(&mut self, mem: &mut Memory, now: Time) {
        let c = &mut self.chips;
        let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
        c.pit.advance(ctx);
        c.rtc.advance(ctx);
        c.i8042.advance(ctx);
        c.ide.advance(ctx);
        c.pm.advance(ctx);
        c.floppy.advance(ctx);
        c.hpet.advance(ctx);
        for u in &mut c.uarts {
            u.advance(ctx);
        }
        for l in &mut c.lapics {
            l.advance(ctx);
        }
        self.move_floppy(mem, now);
        self.update_lines(now);
    }

    /// Video memory, to look at.
    pub fn video<'a>(&self, mem: &'a Memory) -> VideoView<'a> {
        VideoView { mem, first: self.frames.vram(), frames: self.frames.vram_pages }
    }

    /// Notes a line of the log.
    pub fn note(&mut self, now: Time, what: std::fmt::Arguments<'_>) {
        // A guest can cause lines without end: what doesn't fit until the slice boundary is dropped.
        if self.log_lines.len() < 4096 {
            self.log_lines.push(format!("{}.{:09} {what}", now.0 / 1_000_000_000, now.0 % 1_000_000_000));
        }
    }
}
