//! What the processor reaches: ports, memory-mapped chips, interrupt acknowledge.

use super::outside::{Bus, OUTPUT_LIMIT, VideoFrames};
use super::wires::{Wire, region};
use super::{Board, Request, Signal};
use crate::report::Delivery;
use lucid86_cpu::board::Moment;
use lucid86_cpu::memory::Place;
use lucid86_cpu::state::Seg;
use lucid86_cpu::{Cpu, Fault, Memory};
use lucid86_devices::dma::DmaControllers;
use lucid86_devices::floppy::Direction;
use lucid86_devices::i8042::I8042;
use lucid86_devices::lapic::Pending;
use lucid86_devices::pci::{Effect, PciFunction, Reset};
use lucid86_devices::pic::Pics;
use lucid86_devices::pm::{Pm, Sleep};
use lucid86_devices::{Ctx, Ports, Registers, Time, Timed, Width};

fn width_of(bytes: u8) -> Width {
    match bytes {
        1 => Width::Byte,
        2 => Width::Word,
        8 => Width::Qword,
        _ => Width::Dword,
    }
}

/// All ones of a width.
fn floating(width: u8) -> u32 {
    if width >= 4 { !0 } else { (1 << (8 * width)) - 1 }
}

/// The floppy controller's DMA channel.
const FLOPPY_DMA: usize = 2;

/// The text that ends the machine when written to the shutdown port of the Bochs BIOS.
const SHUTDOWN: &[u8] = b"Shutdown";

impl Board {
    /// Whether an access of `width` bytes stays with one chip.
    pub(super) fn whole(&self, port: u16, width: u8) -> Option<(Wire, u16)> {
        let (wire, offset) = self.ports.get(port);
        let last = self.ports.get(port.wrapping_add(u16::from(width) - 1));
        (last == (wire, offset.wrapping_add(u16::from(width) - 1))).then_some((wire, offset))
    }

    fn read_wire(&mut self, mem: &mut Memory, at: Moment, wire: Wire, offset: u16, width: u8) -> u32 {
        let now = Time(at.now_ns);
        let w = width_of(width);
        let frames = self.frames;
        let c = &mut self.chips;
        match wire {
            Wire::Vga => return c.vga.read_port(now, offset, w),
            Wire::Vbe => {
                let vram = VideoFrames { mem, first: frames.vram(), frames: frames.vram_pages };
                return c.vga.read_dispi(&vram, offset, w);
            }
            Wire::Speaker => return c.speaker.read(now, &c.pit).into(),
            Wire::PciAddress => return self.read_pci_address(offset, w),
            Wire::PciData => return self.read_pci_data(offset, w),
            _ => {}
        }
        let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
        let value = match wire {
            Wire::PicMaster => c.pics.read(ctx, Pics::MASTER + offset, w),
            Wire::PicSlave => c.pics.read(ctx, Pics::SLAVE + offset, w),
            Wire::Elcr => c.pics.read(ctx, Pics::ELCR + offset, w),
            Wire::Pit => c.pit.read(ctx, offset, w),
            Wire::Rtc => c.rtc.read(ctx, offset, w),
            Wire::Com1 => c.uarts[0].read(ctx, offset, w),
            Wire::Com2 => c.uarts[1].read(ctx, offset, w),
            Wire::Com3 => c.uarts[2].read(ctx, offset, w),
            Wire::Com4 => c.uarts[3].read(ctx, offset, w),
            Wire::KeyboardData => c.i8042.read(ctx, I8042::DATA, w),
            Wire::KeyboardCommand => c.i8042.read(ctx, I8042::COMMAND, w),
            Wire::Ide0 => c.ide.read_command(ctx, 0, offset, w),
            Wire::Ide1 => c.ide.read_command(ctx, 1, offset, w),
            Wire::Ide0Control => c.ide.read_control(ctx, 0).into(),
            Wire::Ide1Control => c.ide.read_control(ctx, 1).into(),
            Wire::BusMaster => c.ide.read_bus_master(ctx, offset, w),
            Wire::Port92 => c.port92.read(ctx, offset, w),
            Wire::PowerManagement => c.pm.read(ctx, offset, w),
            Wire::Apm => c.pm.read(ctx, Pm::APM + offset, w),
            Wire::SmBus => c.smbus.read(ctx, offset, w),
            Wire::Dma1 => c.dma.read(ctx, DmaControllers::FIRST + offset, w),
            Wire::Dma2 => c.dma.read(ctx, DmaControllers::SECOND + offset, w),
            Wire::DmaPages => c.dma.read(ctx, DmaControllers::PAGES + offset, w),
            Wire::DmaHighPages => c.dma.read(ctx, DmaControllers::HIGH_PAGES + offset, w),
            Wire::Fdc => c.floppy.read(ctx, offset, w),
            Wire::FdcDir => c.floppy.read(ctx, 7, w),
            Wire::Lpt1 => c.parallel.read(ctx, offset, w),
            Wire::FpuBusy => c.fpu_error.read(ctx, offset, w),
            Wire::FwCfg => c.fw_cfg.read(ctx, offset, w),
            Wire::DebugConsole => c.debug_console.read(ctx, offset, w),
            Wire::DebugExit => c.debug_exit.read(ctx, offset, w),
            Wire::Nic(card) => match c.nics.get_mut(usize::from(card)) {
                Some(n) => n.read(ctx, offset, w),
                None => return floating(width),
            },
            _ => return floating(width),
        };
        self.after(wire, now);
        value
    }

    fn write_wire(&mut self, mem: &mut Memory, at: Moment, wire: Wire, offset: u16, width: u8, value: u32) {
        let now = Time(at.now_ns);
        let w = width_of(width);
        let frames = self.frames;
        match wire {
            Wire::Vga => {
                self.chips.vga.write_port(now, offset, w, value);
                return self.video_changed(mem);
            }
            Wire::Vbe => {
                let mut vram = VideoFrames { mem, first: frames.vram(), frames: frames.vram_pages };
                self.chips.vga.write_dispi(&mut vram, offset, w, value);
                return self.video_changed(mem);
            }
            Wire::PciAddress => return self.write_pci_address(offset, w, value),
            Wire::PciData => return self.write_pci_data(mem, now, offset, w, value),
            Wire::Firmware => return self.ask(Request::Boot),
            Wire::ShutdownPort => return self.write_shutdown(value as u8),
            _ => {}
        }
        let c = &mut self.chips;
        self.outside.now_ns = at.now_ns;
        let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
        match wire {
            Wire::Speaker => c.speaker.write(now, &mut c.pit, value as u8),
            Wire::PicMaster => c.pics.write(ctx, Pics::MASTER + offset, w, value),
            Wire::PicSlave => c.pics.write(ctx, Pics::SLAVE + offset, w, value),
            Wire::Elcr => c.pics.write(ctx, Pics::ELCR + offset, w, value),
            Wire::Pit => c.pit.write(ctx, offset, w, value),
            Wire::Rtc => c.rtc.write(ctx, offset, w, value),
            Wire::Com1 => c.uarts[0].write(ctx, offset, w, value),
            Wire::Com2 => c.uarts[1].write(ctx, offset, w, value),
            Wire::Com3 => c.uarts[2].write(ctx, offset, w, value),
            Wire::Com4 => c.uarts[3].write(ctx, offset, w, value),
            Wire::KeyboardData => c.i8042.write(ctx, I8042::DATA, w, value),
            Wire::KeyboardCommand => c.i8042.write(ctx, I8042::COMMAND, w, value),
            Wire::Ide0 => c.ide.write_command(ctx, 0, offset, w, value),
            Wire::Ide1 => c.ide.write_command(ctx, 1, offset, w, value),
            Wire::Ide0Control => c.ide.write_control(ctx, 0, value as u8),
            Wire::Ide1Control => c.ide.write_control(ctx, 1, value as u8),
            Wire::BusMaster => c.ide.write_bus_master(ctx, offset, w, value),
            Wire::Port92 => c.port92.write(ctx, offset, w, value),
            Wire::PowerManagement => c.pm.write(ctx, offset, w, value),
            Wire::Apm => c.pm.write(ctx, Pm::APM + offset, w, value),
            Wire::SmBus => c.smbus.write(ctx, offset, w, value),
            Wire::Dma1 => c.dma.write(ctx, DmaControllers::FIRST + offset, w, value),
            Wire::Dma2 => c.dma.write(ctx, DmaControllers::SECOND + offset, w, value),
            Wire::DmaPages => c.dma.write(ctx, DmaControllers::PAGES + offset, w, value),
            Wire::DmaHighPages => c.dma.write(ctx, DmaControllers::HIGH_PAGES + offset, w, value),
            Wire::Fdc => c.floppy.write(ctx, offset, w, value),
            Wire::FdcDir => c.floppy.write(ctx, 7, w, value),
            Wire::Lpt1 => c.parallel.write(ctx, offset, w, value),
            Wire::FpuBusy => c.fpu_error.write(ctx, offset, w, value),
            Wire::FwCfg => c.fw_cfg.write(ctx, offset, w, value),
            Wire::DebugConsole => c.debug_console.write(ctx, offset, w, value),
            Wire::DebugExit => c.debug_exit.write(ctx, offset, w, value),
            Wire::Nic(card) => match c.nics.get_mut(usize::from(card)) {
                Some(n) => n.write(ctx, offset, w, value),
                None => return,
            },
            _ => return,
        }
        match wire {
            Wire::KeyboardData | Wire::KeyboardCommand | Wire::Port92 => {
                self.set_a20(mem);
                if self.chips.i8042.take_reset() {
                    self.ask(Request::Init("the keyboard controller"));
                }
                if self.chips.port92.take_reset() {
                    self.ask(Request::Init("port 92h"));
                }
            }
            Wire::DebugExit => {
                if let Some(code) = self.chips.debug_exit.take_code() {
                    self.ask(Request::DebugExit(code));
                }
            }
            Wire::Fdc | Wire::FdcDir | Wire::Dma1 => self.move_floppy(mem, now),
            Wire::PowerManagement | Wire::Apm => {
                if self.chips.pm.take_sleep() == Some(Sleep::Off) {
                    self.ask(Request::PowerOff);
                }
                // There is no firmware in SMM that an SMI could be for.
                let _ = self.chips.pm.take_smi();
            }
            _ => {}
        }
        self.after(wire, now);
    }

    /// DMA channel 2: moves what the floppy controller offers or wants, as far as the channel lets it.
    pub(super) fn move_floppy(&mut self, mem: &mut Memory, now: Time) {
        let c = &mut self.chips;
        while let Some(direction) = c.floppy.dreq().filter(|_| c.dma.ready(FLOPPY_DMA)) {
            let mut bus = Bus(mem);
            let moved = match direction {
                Direction::ToMemory => {
                    let moved = c.dma.to_memory(&mut bus, FLOPPY_DMA, c.floppy.offered());
                    let ctx = &mut Ctx { now, dma: &mut bus, host: &mut self.outside };
                    c.floppy.taken(ctx, moved.bytes, moved.terminal_count);
                    moved
                }
                Direction::FromMemory => {
                    let mut bytes = vec![0; c.floppy.ready()];
                    let moved = c.dma.from_memory(&mut bus, FLOPPY_DMA, &mut bytes);
                    let ctx = &mut Ctx { now, dma: &mut bus, host: &mut self.outside };
                    c.floppy.give(ctx, &bytes[..moved.bytes], moved.terminal_count);
                    moved
                }
            };
            if moved.bytes == 0 {
                break;
            }
        }
        c.dma.set_request(FLOPPY_DMA, c.floppy.dreq().is_some());
    }

    /// After an access: lines, deadlines, and whether someone waits for just this.
    #[inline]
    fn after(&mut self, wire: Wire, now: Time) {
        let mut early = false;
        if wire.can_signal() {
            self.update_line_of(wire, now);
            early = self.deadline_of(wire).is_some_and(|d| d < self.slice_end);
        }
        let serial = matches!(wire, Wire::Com1 | Wire::Com2 | Wire::Com3 | Wire::Com4);
        let keyboard = matches!(wire, Wire::KeyboardData | Wire::KeyboardCommand);
        let output = self.outside.wrote && (self.watch.output || self.outside.is_full(OUTPUT_LIMIT));
        let packets = matches!(wire, Wire::Nic(card) if self.frames_would_pass(card));
        if early || output || packets || serial && self.watch.serial || keyboard && self.watch.keyboard {
            self.end_slice();
        }
    }

    /// The IDE channel whose data port this is, and how many bytes of its block can pass in a row: all but the last
    /// access, with which the drive goes on, at a time of its own.
    fn data_row(&self, port: u16, width: u8) -> Option<(usize, usize)> {
        let channel = match self.whole(port, width)? {
            (Wire::Ide0, 0) => 0,
            (Wire::Ide1, 0) => 1,
            _ => return None,
        };
        if width < 2 || self.log.chips {
            return None;
        }
        let (left, width) = (self.chips.ide.data_left(channel), usize::from(width));
        let left = (left.max(1) - 1) / width * width;
        (left > 0).then_some((channel, left))
    }

    #[cold]
    fn log_port(&mut self, at: Moment, what: &str, port: u16, value: u32) {
        let (wire, offset) = self.ports.get(port);
        let now = Time(at.now_ns);
        match wire {
            Wire::Nothing if port == 0x80 || port == 0xed => {} // idle cycles, not mistakes
            Wire::Nothing if self.log.unmapped => {
                self.note(now, format_args!("unmapped: {what} port {port:04x}h: {value:x}h"));
            }
            Wire::Nothing => {}
            _ if self.log.chips => {
                self.note(now, format_args!("{wire:?}+{offset:x}: {what} port {port:04x}h: {value:x}h"))
            }
            _ => {}
        }
    }

    /// Asks the main loop for something. The first request of a slice counts.
    pub(super) fn ask(&mut self, request: Request) {
        self.request.get_or_insert(request);
        self.end_slice();
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
        self.end_slice();
    }

    fn video_changed(&mut self, mem: &mut Memory) {
        self.video_epoch += 1;
        if self.chips.vga.direct_window(self.frames.vram_pages as usize * 4096) != self.window {
            self.map_vga_window(mem);
            self.end_slice();
        }
    }

    /// A20 is open when either of its two gates is.
    pub(super) fn set_a20(&mut self, mem: &mut Memory) {
        let open = self.chips.port92.a20() || self.chips.i8042.a20();
        if mem.a20() != open {
            mem.set_a20(open);
            self.end_slice();
        }
    }

    fn write_shutdown(&mut self, value: u8) {
        self.shutdown_text = match SHUTDOWN.get(self.shutdown_text) {
            Some(b) if *b == value => self.shutdown_text + 1,
            _ => usize::from(value == SHUTDOWN[0]),
        };
        if self.shutdown_text == SHUTDOWN.len() {
            self.shutdown_text = 0;
            self.ask(Request::PowerOff);
        }
    }

    fn read_pci_address(&mut self, offset: u16, w: Width) -> u32 {
        match self.chips.mechanism.read_address(offset, w) {
            Some(v) => v,
            None if offset == 1 && w == Width::Byte => self.chips.isa_bridge.read_reset().into(),
            None => floating(w as u8),
        }
    }

    fn write_pci_address(&mut self, offset: u16, w: Width, value: u32) {
        if !self.chips.mechanism.write_address(offset, w, value) && offset == 1 && w == Width::Byte {
            match self.chips.isa_bridge.write_reset(value as u8) {
                Some(Reset::Hard) => self.ask(Request::Reset("port CF9h")),
                Some(Reset::Soft) => self.ask(Request::Init("port CF9h")),
                None => {}
            }
        }
    }

    /// The schematic of the PCI bus.
    pub(crate) fn pci_function(&mut self, device: u8, function: u8) -> Option<&mut dyn PciFunction> {
        let c = &mut self.chips;
        Some(match (device, function) {
            (0, 0) => &mut c.host_bridge,
            (1, 0) => &mut c.isa_bridge,
            (1, 1) => &mut c.ide.function,
            (1, 3) => &mut c.power_function,
            (2, 0) => &mut c.vga_function,
            (slot, 0) => super::network::function(&mut c.nics, slot)?,
            _ => return None,
        })
    }

    fn read_pci_data(&mut self, offset: u16, w: Width) -> u32 {
        let Some(a) = self.chips.mechanism.access(offset, w) else { return floating(w as u8) };
        match self.pci_function(a.device, a.function) {
            Some(f) if a.bus == 0 => f.config_read(a.register, a.width),
            _ => floating(w as u8),
        }
    }

    fn write_pci_data(&mut self, mem: &mut Memory, now: Time, offset: u16, w: Width, value: u32) {
        let Some(a) = self.chips.mechanism.access(offset, w) else { return };
        let effect = match self.pci_function(a.device, a.function) {
            Some(f) if a.bus == 0 => f.config_write(a.register, a.width, value),
            _ => Effect::Nothing,
        };
        if effect == Effect::Map {
            let epoch = mem.map_epoch();
            self.map_low(mem);
            self.map_bars(mem);
            self.map_ports();
            self.update_lines(now);
            if mem.map_epoch() != epoch {
                self.end_slice();
            }
        }
    }
}

impl lucid86_cpu::Board for Board {
    fn port_in(&mut self, mem: &mut Memory, at: Moment, port: u16, width: u8) -> u32 {
        let value = match self.whole(port, width) {
            Some((wire, offset)) => self.read_wire(mem, at, wire, offset, width),
            None => (0..width).fold(0, |sum, i| {
                let (wire, offset) = self.ports.get(port.wrapping_add(i.into()));
                sum | (self.read_wire(mem, at, wire, offset, 1) & 0xff) << (8 * i)
            }),
        };
        if self.log.unmapped || self.log.chips {
            self.log_port(at, "IN from", port, value);
        }
        value
    }

    fn port_out(&mut self, mem: &mut Memory, at: Moment, port: u16, width: u8, value: u32) {
        self.stored = true;
        if self.log.unmapped || self.log.chips {
            self.log_port(at, "OUT to", port, value);
        }
        match self.whole(port, width) {
            Some((wire, offset)) => self.write_wire(mem, at, wire, offset, width, value),
            None => {
                for i in 0..width {
                    let (wire, offset) = self.ports.get(port.wrapping_add(i.into()));
                    self.write_wire(mem, at, wire, offset, 1, value >> (8 * i) & 0xff);
                }
            }
        }
    }

    fn port_in_row(&mut self, mem: &mut Memory, at: Moment, port: u16, width: u8, to: &mut [u8]) -> usize {
        if let Some(card) = self.card_row(port, width) {
            return card.read_row(to, width.into());
        }
        let Some((channel, left)) = self.data_row(port, width) else { return 0 };
        let n = left.min(to.len() - to.len() % usize::from(width));
        let ctx = &mut Ctx { now: Time(at.now_ns), dma: &mut Bus(mem), host: &mut self.outside };
        self.chips.ide.read_data(ctx, channel, &mut to[..n])
    }

    fn port_out_row(&mut self, mem: &mut Memory, at: Moment, port: u16, width: u8, from: &[u8]) -> usize {
        if let Some(card) = self.card_row(port, width) {
            return card.write_row(from, width.into());
        }
        let Some((channel, left)) = self.data_row(port, width) else { return 0 };
        let n = left.min(from.len() - from.len() % usize::from(width));
        let ctx = &mut Ctx { now: Time(at.now_ns), dma: &mut Bus(mem), host: &mut self.outside };
        self.chips.ide.write_data(ctx, channel, &from[..n])
    }

    fn chip_read(&mut self, mem: &mut Memory, at: Moment, chip: u16, addr: u64, width: u8) -> u64 {
        let now = Time(at.now_ns);
        let w = width_of(width);
        let frames = self.frames;
        match chip {
            region::VGA => {
                let vram = VideoFrames { mem, first: frames.vram(), frames: frames.vram_pages };
                self.chips.vga.load(&vram, (addr - 0xa_0000) as u32, w)
            }
            region::VGA_REGISTERS => {
                let vram = VideoFrames { mem, first: frames.vram(), frames: frames.vram_pages };
                self.chips.vga.read_mmio(&vram, now, addr & 0xfff, w)
            }
            region::IOAPIC => {
                let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
                self.chips.ioapic.load(ctx, addr & 0xfff, w)
            }
            region::HPET => {
                let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
                let value = self.chips.hpet.load(ctx, addr & 0xfff, w);
                self.after(Wire::Hpet, now);
                value
            }
            region::LAPIC => {
                let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
                match self.chips.lapics.get_mut(at.cpu).filter(|l| l.page() == Some(addr & !0xfff)) {
                    Some(l) => {
                        let value = l.load(ctx, addr & 0xfff, w);
                        self.carry();
                        value
                    }
                    None => !0,
                }
            }
            _ => !0,
        }
    }

    fn chip_write(&mut self, mem: &mut Memory, at: Moment, chip: u16, addr: u64, width: u8, value: u64) {
        let now = Time(at.now_ns);
        let w = width_of(width);
        let frames = self.frames;
        self.stored |= chip != region::LAPIC;
        let mut vram = VideoFrames { mem, first: frames.vram(), frames: frames.vram_pages };
        match chip {
            region::VGA => self.chips.vga.store(&mut vram, (addr - 0xa_0000) as u32, w, value),
            region::VGA_REGISTERS => {
                self.chips.vga.write_mmio(&mut vram, now, addr & 0xfff, w, value);
                self.video_changed(mem);
            }
            region::IOAPIC => {
                let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
                self.chips.ioapic.store(ctx, addr & 0xfff, w, value);
                self.carry();
            }
            region::HPET => {
                let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
                self.chips.hpet.store(ctx, addr & 0xfff, w, value);
                self.after(Wire::Hpet, now);
            }
            region::LAPIC => {
                let ctx = &mut Ctx { now, dma: &mut Bus(mem), host: &mut self.outside };
                if let Some(l) = self.chips.lapics.get_mut(at.cpu).filter(|l| l.page() == Some(addr & !0xfff))
                {
                    l.store(ctx, addr & 0xfff, w, value);
                    self.after_apic(at.cpu);
                }
            }
            _ => {}
        }
    }

    fn acknowledge(&mut self, mem: &mut Memory, at: Moment) -> u8 {
        let _ = mem;
        let vector = self.take_vector(at);
        if self.log.interrupts {
            self.note(Time(at.now_ns), format_args!("interrupt: cpu {} vector {vector:02x}h", at.cpu));
        }
        vector
    }

    fn interrupt_line(&self, cpu: usize) -> bool {
        self.intr(cpu)
    }

    fn task_priority(&self, cpu: usize) -> u8 {
        self.chips.lapics.get(cpu).map_or(0, |l| l.task_priority())
    }

    fn set_task_priority(&mut self, cpu: usize, class: u8) {
        if let Some(l) = self.chips.lapics.get_mut(cpu) {
            l.set_task_priority(class);
        }
    }

    fn apic_msr_read(&mut self, at: Moment, msr: u32) -> Option<u64> {
        self.chips.lapics.get_mut(at.cpu)?.read_msr(Time(at.now_ns), msr)
    }

    fn apic_msr_write(&mut self, mem: &mut Memory, at: Moment, msr: u32, value: u64) -> Option<()> {
        let tsc = at.now_ns.wrapping_add(self.tsc_offsets.get(at.cpu).copied().unwrap_or(0));
        let lapic = self.chips.lapics.get_mut(at.cpu)?;
        let page = lapic.page();
        lapic.write_msr(Time(at.now_ns), tsc, msr, value)?;
        if lapic.page() != page {
            self.map_apics(mem);
            self.end_slice();
        }
        self.after_apic(at.cpu);
        Some(())
    }

    fn smm_changed(&mut self, mem: &mut Memory, _at: Moment, inside: bool) {
        self.show_smram(mem, inside);
    }

    fn delivering(&mut self, at: Moment, cpu: &Cpu, fault: &Fault, external: bool) {
        if external {
            return;
        }
        let cs = cpu.seg[Seg::Cs as usize].selector;
        let delivery = Delivery { fault: *fault, cs, rip: cpu.rip, cpl: cpu.cpl, cr2: cpu.cr2 };
        self.recent.rotate_right(1);
        self.recent[0] = Some(delivery);
        if self.log.exceptions {
            self.note(Time(at.now_ns), format_args!("exception: cpu {} {delivery}", at.cpu));
        }
    }

    fn slice_must_end(&self) -> bool {
        self.must_end
    }
}

impl Board {
    /// The pages of the local APICs. Each processor sees its own there.
    pub(super) fn map_apics(&mut self, mem: &mut Memory) {
        for page in std::mem::take(&mut self.apic_pages) {
            mem.map(page, 1, Place::Unmapped, Place::Unmapped);
        }
        for page in self.chips.lapics.iter().filter_map(|l| l.page()).map(|a| a >> 12) {
            // Only where nothing else is: a guest that moves its APIC into RAM loses it, not the RAM.
            if mem.read_place(page) == Place::Unmapped {
                mem.map(page, 1, Place::Chip(region::LAPIC), Place::Chip(region::LAPIC));
                self.apic_pages.push(page);
            }
        }
    }

    /// Makes SMRAM visible at A0000h, or hides it, as the processor whose turn it is needs it.
    pub fn show_smram(&mut self, mem: &mut Memory, inside: bool) {
        if self.smm_inside != inside {
            self.smm_inside = inside;
            self.map_vga_window(mem);
            self.end_slice();
        }
    }

    fn after_apic(&mut self, cpu: usize) {
        self.carry();
        if self.chips.lapics[cpu].deadline().is_some_and(|d| d < self.slice_end) {
            self.end_slice();
        }
    }

    fn take_vector(&mut self, at: Moment) -> u8 {
        let c = &mut self.chips;
        let Some(lapic) = c.lapics.get_mut(at.cpu) else {
            return c.pics.acknowledge();
        };
        match lapic.interrupt() {
            Some(Pending::External) => {
                lapic.acknowledge_external();
                let vector = c.pics.acknowledge();
                self.carry();
                vector
            }
            _ => lapic.acknowledge(Time(at.now_ns)),
        }
    }
}
