//! The table of wires: which chip answers at which port, and which chip's output drives which interrupt request.

/// A group of ports that one chip answers. Offsets count from the first port.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wire {
    Nothing,
    Dma1,
    PicMaster,
    Pit,
    KeyboardData,
    Speaker,
    KeyboardCommand,
    Rtc,
    DmaPages,
    Port92,
    PicSlave,
    Apm,
    Dma2,
    DebugConsole,
    FpuBusy,
    DebugExit,
    Ide1,
    Ide0,
    Vbe,
    Com4,
    Com2,
    Ide1Control,
    Lpt1,
    Vga,
    Com3,
    Fdc,
    Ide0Control,
    FdcDir,
    Com1,
    Elcr,
    FwCfg,
    DmaHighPages,
    SmBus,
    PciAddress,
    PciData,
    Firmware,
    PowerManagement,
    BusMaster,
    ShutdownPort,
    /// A network card, by number.
    Nic(u8),
    /// Not ports: the HPET's page.
    Hpet,
}

impl Wire {
    /// Whether an access to its chip can bring about an interrupt or a deadline. Of those left out none has a line.
    pub fn can_signal(self) -> bool {
        use Wire::*;
        !matches!(self, DmaPages | DmaHighPages | Dma2 | SmBus | FwCfg | DebugConsole | DebugExit)
    }
}

/// Ports with a fixed place: first, how many, whose. Where two overlap the later one wins.
pub const PORTS: &[(u16, u16, Wire)] = &[
    (0x0000, 0x10, Wire::Dma1),
    (0x0020, 2, Wire::PicMaster),
    (0x0040, 4, Wire::Pit),
    (0x0060, 1, Wire::KeyboardData),
    (0x0061, 1, Wire::Speaker),
    (0x0064, 1, Wire::KeyboardCommand),
    (0x0070, 4, Wire::Rtc),
    (0x0080, 0x10, Wire::DmaPages),
    (0x0092, 1, Wire::Port92),
    (0x00a0, 2, Wire::PicSlave),
    (0x00b2, 2, Wire::Apm),
    (0x00c0, 0x20, Wire::Dma2),
    (0x00e9, 1, Wire::DebugConsole),
    (0x00f0, 2, Wire::FpuBusy),
    (0x00f4, 4, Wire::DebugExit),
    (0x0170, 8, Wire::Ide1),
    (0x01f0, 8, Wire::Ide0),
    (0x01ce, 3, Wire::Vbe),
    (0x02e8, 8, Wire::Com4),
    (0x02f8, 8, Wire::Com2),
    (0x0376, 1, Wire::Ide1Control),
    (0x0378, 8, Wire::Lpt1),
    (0x03b0, 0x30, Wire::Vga),
    (0x03e8, 8, Wire::Com3),
    (0x03f0, 6, Wire::Fdc),
    (0x03f6, 1, Wire::Ide0Control),
    (0x03f7, 1, Wire::FdcDir),
    (0x03f8, 8, Wire::Com1),
    (0x0480, 0x10, Wire::DmaHighPages),
    (0x04d0, 2, Wire::Elcr),
    (0x0510, 12, Wire::FwCfg),
    (0x0cf8, 4, Wire::PciAddress),
    (0x0cfc, 4, Wire::PciData),
    (lucid86_bios::READY_PORT, 1, Wire::Firmware),
    (0x8900, 1, Wire::ShutdownPort),
];

/// Interrupt requests of the ISA bus.
#[allow(missing_docs)]
pub mod irq {
    pub const TIMER: u8 = 0;
    pub const KEYBOARD: u8 = 1;
    pub const COM2: u8 = 3;
    pub const COM1: u8 = 4;
    pub const FLOPPY: u8 = 6;
    pub const LPT1: u8 = 7;
    pub const RTC: u8 = 8;
    pub const SCI: u8 = 9;
    pub const MOUSE: u8 = 12;
    pub const FPU: u8 = 13;
    pub const IDE0: u8 = 14;
    pub const IDE1: u8 = 15;
}

/// The IOAPIC's input for an ISA interrupt: the timer is on input 2, which the cascade leaves free.
pub fn ioapic_input(irq: u8) -> u8 {
    if irq == irq::TIMER { 2 } else { irq }
}

/// Numbers of memory-mapped chips in the memory map.
pub mod region {
    /// VGA window, A0000h-BFFFFh.
    pub const VGA: u16 = 0;
    /// The VGA's registers, BAR 2.
    pub const VGA_REGISTERS: u16 = 1;
    /// Local APICs: one page, for each processor its own.
    pub const LAPIC: u16 = 2;
    /// IOAPIC.
    pub const IOAPIC: u16 = 3;
    /// HPET.
    pub const HPET: u16 = 4;
}

/// What answers at each of the 64 Ki ports: a wire and its first port. Empty until [`PortMap::restart`].
#[derive(Default)]
pub struct PortMap {
    wires: Vec<(Wire, u16)>,
}

impl PortMap {
    /// The fixed ports only, as far as `has` says that the chip is there.
    pub fn restart(&mut self, has: impl Fn(Wire) -> bool) {
        self.wires.clear();
        self.wires.resize(0x1_0000, (Wire::Nothing, 0));
        for &(first, count, wire) in PORTS.iter().filter(|p| has(p.2)) {
            self.put(first, count, wire);
        }
    }

    /// Gives ports to a wire, from `first` on.
    pub fn put(&mut self, first: u16, count: u16, wire: Wire) {
        for i in 0..count {
            self.wires[usize::from(first.wrapping_add(i))] = (wire, first);
        }
    }

    /// Whose `port` is, and its offset there.
    #[inline]
    pub fn get(&self, port: u16) -> (Wire, u16) {
        let (wire, first) = self.wires[usize::from(port)];
        (wire, port.wrapping_sub(first))
    }
}
