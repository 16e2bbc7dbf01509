//! The board at power-on and at reset: chips, CMOS contents, ports.

use super::layout::Layout;
use super::map::Frames;
use super::outside::{FLOPPY_SLOT, Outside};
use super::wires::{PortMap, Wire};
use super::{Board, Chips, Watch};
use crate::config::Config;
use lucid86_cpu::Memory;
use lucid86_cpu::model::{CpuModel, Feature};
use lucid86_devices::Time;
use lucid86_devices::debug::{DebugConsole, DebugExit};
use lucid86_devices::dma::DmaControllers;
use lucid86_devices::floppy::Floppy;
use lucid86_devices::fpu_error::FpuError;
use lucid86_devices::fw_cfg::FwCfg;
use lucid86_devices::hpet::Hpet;
use lucid86_devices::i8042::I8042;
use lucid86_devices::ide::{Ide, Unit};
use lucid86_devices::ioapic::IoApic;
use lucid86_devices::lapic::Lapic;
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
use lucid86_devices::vga::Vga;

/// Video memory: 16 MiB.
pub const VRAM_PAGES: u32 = 16 << 8;

/// Period of the local APICs' bus clock: 1 GHz, the crystal of CPUID 15h.
const APIC_TICK_NS: u32 = 1;

/// What the board is built from, besides the configuration.
pub struct Parts {
    /// What holds what in the one allocation.
    pub frames: Frames,
    /// The drives at hda to hdd; their media come in slots 0 to 3.
    pub units: [Option<Unit>; 4],
    /// Identity of the machine.
    pub uuid: [u8; 16],
    /// Whether the video ROM shows at C0000h by itself.
    pub video_rom_low: bool,
}

impl Board {
    /// A board after power-on.
    pub fn new(config: &Config, parts: &Parts, model: &CpuModel) -> Board {
        let x2apic = model.has(Feature::X2apic);
        let apics = if model.has(Feature::Apic) { config.cpus as u32 } else { 0 };
        let lapics = (0..apics).map(|i| Lapic::new(i, i == 0, x2apic, APIC_TICK_NS)).collect();
        let debug_exit = !config.no_debug_exit;
        let chips = Chips {
            host_bridge: HostBridge::new(),
            isa_bridge: IsaBridge::new(),
            power_function: PowerFunction::new(true),
            vga_function: VgaFunction::new(VRAM_PAGES << 12, parts.frames.video_rom_pages << 12),
            mechanism: ConfigMechanism::default(),
            pics: Pics::new(),
            pit: Pit::new(),
            rtc: Rtc::new(config.rtc_start_seconds()),
            speaker: Speaker::new(),
            uarts: std::array::from_fn(Uart::new),
            i8042: I8042::new(),
            ide: Ide::new(parts.units.clone(), 0),
            vga: Vga::new(),
            port92: Port92::new(),
            pm: Pm::new(),
            smbus: SmBus::new(),
            dma: DmaControllers::new(),
            floppy: Floppy::new(1 + usize::from(config.has_floppy_b()), FLOPPY_SLOT),
            parallel: Parallel::new(0),
            hpet: Hpet::new(),
            fpu_error: FpuError::new(),
            fw_cfg: FwCfg::new(),
            debug_console: DebugConsole,
            debug_exit: DebugExit::default(),
            ioapic: IoApic::new(0, 0x11),
            lapics,
            nics: super::network::cards(config, parts.frames.card_rom_pages),
            lines: 0,
            hpet_levels: 0,
        };
        let mut board = Board {
            chips,
            outside: Outside::default(),
            frames: parts.frames,
            request: None,
            signals: Vec::new(),
            slice_end: Time(0),
            log_lines: Vec::new(),
            log: config.log.clone(),
            debug_exit,
            fw_cfg: config.bios.is_some(),
            watch: Watch::default(),
            tsc_offsets: vec![0; config.cpus],
            video_epoch: 0,
            stored: false,
            must_end: false,
            ports: PortMap::default(),
            window: None,
            occupied: Vec::new(),
            apic_pages: Vec::new(),
            smm_inside: false,
            recent: [None; 4],
            video_rom_low: parts.video_rom_low,
            shutdown_text: 0,
            jumpers: super::network::jumpers(config),
        };
        board.fill_cmos(config);
        if board.fw_cfg {
            // How firmware recognises a machine that has `fw_cfg`: the host bridge's subsystem.
            board.chips.host_bridge.set_subsystem(0x1af4, 0x1100);
            super::fw_cfg::fill(&mut board.chips.fw_cfg, config, parts.frames.layout, parts.uuid);
        }
        board.map_ports();
        board
    }

    /// The reset line: every chip, memory kept. The map is built anew.
    pub fn reset(&mut self, mem: &mut Memory, now: Time) {
        let c = &mut self.chips;
        c.host_bridge.reset();
        c.isa_bridge.reset();
        c.power_function.reset();
        c.vga_function.reset();
        c.mechanism.reset();
        c.pics.reset();
        c.pit.reset();
        c.rtc.reset();
        c.speaker.reset(now, &mut c.pit);
        for u in &mut c.uarts {
            u.reset();
        }
        c.i8042.reset();
        c.ide.reset();
        c.vga.reset();
        c.port92.reset();
        c.pm.reset();
        c.smbus.reset();
        c.dma.reset();
        c.floppy.reset();
        c.parallel.reset();
        c.hpet.reset();
        c.fpu_error.reset();
        c.fw_cfg.reset();
        c.ioapic.reset();
        for l in &mut c.lapics {
            l.reset();
        }
        for n in &mut c.nics {
            n.reset();
        }
        self.video_epoch += 1;
        self.request = None;
        self.signals.clear();
        self.smm_inside = false;
        self.shutdown_text = 0;
        self.rebuild(mem, now);
    }

    /// Everything that follows from the chips' registers: after reset and after loading a state.
    pub fn rebuild(&mut self, mem: &mut Memory, now: Time) {
        self.map_all(mem);
        self.map_ports();
        self.set_a20(mem);
        self.update_lines(now);
        self.end_slice();
    }

    /// Builds the table of ports: the fixed ones, and those that PCI functions place.
    pub fn map_ports(&mut self) {
        let mut ports = std::mem::take(&mut self.ports);
        let c = &self.chips;
        let (ide, debug_exit, fw_cfg) = (&c.ide.function, self.debug_exit, self.fw_cfg);
        ports.restart(|wire| match wire {
            Wire::Ide0 | Wire::Ide0Control => ide.decodes(0),
            Wire::Ide1 | Wire::Ide1Control => ide.decodes(1),
            Wire::DebugExit => debug_exit,
            Wire::FwCfg => fw_cfg,
            _ => true,
        });
        if let Some(base) = c.power_function.pm_base() {
            ports.put(base, 64, Wire::PowerManagement);
        }
        if let Some(base) = c.power_function.smbus_base() {
            ports.put(base, 16, Wire::SmBus);
        }
        if let Some(m) = ide.bus_master_ports() {
            ports.put(m.base as u16, 16, Wire::BusMaster);
        }
        self.map_cards(&mut ports);
        self.ports = ports;
    }

    /// CMOS bytes that firmware reads (Ralf Brown's CMOS list; memory above 16 MiB and 4 GiB as Bochs and QEMU have it).
    fn fill_cmos(&mut self, config: &Config) {
        let layout: Layout = self.frames.layout;
        let rtc = &mut self.chips.rtc;
        let mut word = |at: u8, v: u64| {
            rtc.set_cmos(at, v as u8);
            rtc.set_cmos(at + 1, (v >> 8) as u8);
        };
        word(0x15, 640);
        let extended_kib = (layout.low_end().saturating_sub(1 << 20) >> 10).min(0xffff);
        word(0x17, extended_kib);
        word(0x30, extended_kib);
        word(0x34, (layout.low_end().saturating_sub(16 << 20) >> 16).min(0xffff));
        word(0x5b, layout.high_len() >> 16);
        let floppy = |present: bool| u8::from(present) * 4;
        let (a, b) = (config.fd[0].is_some() || !config.has_floppy_b(), config.has_floppy_b());
        rtc.set_cmos(0x5d, (layout.high_len() >> 32) as u8);
        rtc.set_cmos(0x10, floppy(a) << 4 | floppy(b));
        rtc.set_cmos(0x14, 0x07 | u8::from(b) << 6); // floppy, FPU, mouse; EGA or better
        rtc.set_cmos(0x5f, config.cpus as u8 - 1);
        let order = boot_nibbles(config);
        rtc.set_cmos(0x3d, order[1] << 4 | order[0]);
        // Bit 0: no check of the floppy's signature; bit 1: boot menu.
        rtc.set_cmos(0x38, order[2] << 4 | u8::from(config.boot_menu) << 1 | 1);
        let sum: u16 = (0x10..0x2e).map(|at| u16::from(rtc.cmos(at))).sum();
        rtc.set_cmos(0x2e, (sum >> 8) as u8);
        rtc.set_cmos(0x2f, sum as u8);
    }
}

/// Boot order in the Bochs BIOS's nibbles: 1 floppy, 2 disk, 3 CD, 4 network.
fn boot_nibbles(config: &Config) -> [u8; 3] {
    let order = if config.boot.is_empty() { config.default_boot_order() } else { config.boot.clone() };
    let mut out = [0; 3];
    for (slot, letter) in out.iter_mut().zip(order.bytes()) {
        *slot = match letter {
            b'a' => 1,
            b'c' => 2,
            b'd' => 3,
            _ => 4,
        };
    }
    out
}
