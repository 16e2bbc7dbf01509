//! Putting the machine together, and (re)starting it.

use super::feed::Feed;
use super::lull::Lull;
use super::{Machine, Progress, drives};
use crate::board::layout::Layout;
use crate::board::setup::{Parts, VRAM_PAGES};
use crate::board::{Board, CARDS, Frames};
use crate::config::{Config, ConfigError, RtcStart, format_size, unreadable};
use crate::load::{self, Entry, Target};
use crate::pacer::Pacer;
use crate::script::Script;
use crate::tables;
use lucid86_cpu::derived::Derived;
use lucid86_cpu::memory::PAGE;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::Activity;
use lucid86_cpu::{Clock, Cpu, Memory};
use std::path::Path;

/// ROM images.
struct Roms {
    system: Vec<u8>,
    video: Vec<u8>,
    cards: [Vec<u8>; CARDS],
    tables: tables::Tables,
}

/// Smallest ROM image: the unit in which option ROMs count their size.
const MIN_ROM: usize = 512;
/// Largest ROM image.
const MAX_ROM: usize = 4 << 20;

pub(super) fn build(mut config: Config) -> Result<Machine, ConfigError> {
    config.validate()?;
    let replay = match config.replay.clone() {
        Some(path) => Some((std::fs::read(&path).map_err(|e| unreadable(&path, &e))?, path)),
        None => None,
    };
    if let Some((bytes, path)) = &replay {
        let r = crate::record::Recording::read(bytes)
            .map_err(|e| ConfigError(format!("{}: {e}", path.display())))?;
        (config.rtc, config.seed) = (Some(RtcStart::Date(r.rtc)), Some(r.seed));
    }
    // What would be asked of the host is asked once.
    config.rtc = Some(RtcStart::Date(config.rtc_start_seconds()));
    config.seed = Some(config.seed_value());
    let roms = roms(&config)?;
    let frames = Frames {
        layout: Layout { ram: config.memory },
        rom_pages: (roms.system.len() / PAGE as usize) as u32,
        video_rom_pages: (roms.video.len() / PAGE as usize) as u32,
        vram_pages: VRAM_PAGES,
        card_rom_pages: std::array::from_fn(|i| (roms.cards[i].len() / PAGE as usize) as u32),
    };
    let no_room = || ConfigError(format!("memory: this host has no room for {}", format_size(config.memory)));
    let mut mem = Memory::new(frames.total() as usize, frames.pages()).ok_or_else(no_room)?;
    put_frames(&mut mem, frames.rom(), &roms.system);
    put_frames(&mut mem, frames.video_rom(), &roms.video);
    for (i, rom) in roms.cards.iter().enumerate() {
        put_frames(&mut mem, frames.card_rom(i), rom);
    }
    let model = CpuModel::parse(&config.cpu).map_err(|e| ConfigError(format!("cpu: {e}")))?;
    let drives = drives::open(&config)?;
    let parts = Parts {
        frames,
        units: drives.units,
        uuid: uuid(config.seed_value()),
        video_rom_low: config.bios.is_none(),
    };
    let mut board = Board::new(&config, &parts, &model);
    board.outside.media = drives.media;
    let seed = config.seed_value();
    let new_cpu = |i| Cpu { seed: seed.rotate_left(i as u32), ..Cpu::new(i, model.clone()) };
    let cpus = (0..config.cpus).map(new_cpu).collect();
    let script = Script::from_config(&config)?;
    let (_, mailbox) = crate::inputs::mail();
    let mut machine = Machine {
        mem,
        cpus,
        derived: derived(&config),
        board,
        progress: Progress {
            clock: Clock { n0: 0, t0_ns: 0, rate: Clock::ONE_NS },
            count: 0,
            turn: 0,
            turn_end: 0,
            idle_ns: 0,
        },
        feed: Feed::default(),
        script,
        hashes: crate::hash::PageHashes::new(frames.total() as usize),
        tables: roms.tables,
        stop_count: None,
        stop_ns: None,
        pacer: Pacer::new(0),
        lull: Lull::new(config.tick_slack_ns),
        sender: None,
        mailbox,
        live: false,
        next_tick: None,
        ended_by: None,
        log: crate::record::Log::default(),
        debug: crate::debug::Debugger::default(),
        config,
    };
    machine.set_stop();
    machine.reset();
    if let Some(kernel) = machine.config.kernel.clone() {
        // Only to see whether it can be loaded: it is loaded for good when the firmware is done.
        machine.load_kernel(&kernel)?;
        machine.reset();
    }
    if let Some(path) = machine.config.load.clone() {
        let bytes = std::fs::read(&path).map_err(|e| unreadable(&path, &e))?;
        machine.load(&bytes).map_err(|e| ConfigError(format!("{}: {e}", path.display())))?;
    }
    if machine.config.record.is_some() {
        machine.start_log();
    }
    if let Some((bytes, path)) = replay {
        machine.replay(&bytes).map_err(|e| ConfigError(format!("{}: {e}", path.display())))?;
    }
    Ok(machine)
}

fn put_frames(mem: &mut Memory, first: u32, bytes: &[u8]) {
    for (i, page) in bytes.chunks(PAGE as usize).enumerate() {
        mem.store(first + i as u32, 0, page);
    }
}

fn roms(config: &Config) -> Result<Roms, ConfigError> {
    let tables = tables(config);
    // To assemble them takes a good part of the time that a start takes: both at once.
    let (system, video) = std::thread::scope(|s| {
        let video = s.spawn(|| match &config.vga_bios {
            Some(path) => read_rom(path),
            None => Ok(lucid86_bios::video_rom().image),
        });
        let system = match &config.bios {
            Some(path) => read_rom(path),
            None => {
                let (anchors, tables) = (tables.anchors.clone(), tables.body.clone());
                let at = tables_at(config);
                Ok(lucid86_bios::system_rom(&lucid86_bios::Options { anchors, tables, tables_at: at }).image)
            }
        };
        (system, video.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (mut system, mut video) = (system?, video?);
    // A ROM of less than 128 KiB stands at the end of the area.
    let size = system.len().next_multiple_of(PAGE as usize).max(0x2_0000);
    system.splice(0..0, std::iter::repeat_n(0xff, size - system.len()));
    video.resize(video.len().next_multiple_of(PAGE as usize), 0);
    let mut cards = <[Vec<u8>; CARDS]>::default();
    for (rom, net) in cards.iter_mut().zip(&config.net) {
        if let Some(path) = &net.rom {
            *rom = read_rom(path)?;
            rom.resize(rom.len().next_multiple_of(PAGE as usize), 0xff);
        }
    }
    Ok(Roms { system, video, cards, tables })
}

fn tables_at(config: &Config) -> u32 {
    Layout { ram: config.memory }.tables_at().unwrap_or(0) as u32
}

fn tables(config: &Config) -> tables::Tables {
    let at = tables_at(config);
    if at == 0 {
        return tables::Tables::default();
    }
    let platform = tables::Platform {
        cpus: config.cpus,
        memory: config.memory,
        pci_hole_start: crate::board::layout::PCI_HOLE as u32,
        uuid: uuid(config.seed_value()),
        ..tables::Platform::default()
    };
    tables::build(&platform, at)
}

/// A version 4 UUID from the seed (RFC 4122, section 4.4).
fn uuid(seed: u64) -> [u8; 16] {
    let a = xxhash_rust::xxh3::xxh3_128_with_seed(b"system uuid", seed);
    let mut b = a.to_le_bytes();
    b[7] = b[7] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    b
}

fn read_rom(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    if bytes.len() < MIN_ROM || bytes.len() > MAX_ROM {
        return Err(ConfigError(format!(
            "{}: {} bytes are no ROM image: {MIN_ROM} bytes to {}",
            path.display(),
            bytes.len(),
            format_size(MAX_ROM as u64)
        )));
    }
    Ok(bytes)
}

impl Machine {
    /// Everything as after power-on, memory kept; a kernel given directly is loaded again.
    pub(super) fn reset(&mut self) {
        let now = self.now();
        self.board.reset(&mut self.mem, now);
        for cpu in &mut self.cpus {
            cpu.reset();
            if cpu.index != 0 {
                cpu.activity = Activity::WaitForSipi;
            }
        }
        self.progress.turn = 0;
        self.progress.turn_end = 0;
    }

    /// INIT to every processor, as the keyboard controller's and port 92h's reset lines do.
    pub(super) fn init_processors(&mut self) {
        for cpu in &mut self.cpus {
            cpu.reset();
            if cpu.index != 0 {
                cpu.activity = Activity::WaitForSipi;
            }
        }
    }

    /// The firmware has done its part and looks for something to boot: a kernel given directly starts here.
    pub(super) fn firmware_ready(&mut self) -> Result<(), ConfigError> {
        // Firmware's round through the other processors, which ours doesn't make: memory types as on the first.
        let (first, others) = self.cpus.split_at_mut(1);
        for cpu in others {
            cpu.msr.mtrr_def_type = first[0].msr.mtrr_def_type;
            cpu.msr.mtrr_fixed = first[0].msr.mtrr_fixed;
            cpu.msr.mtrr_phys = first[0].msr.mtrr_phys;
        }
        match self.config.kernel.clone() {
            Some(kernel) => {
                let entry = self.load_kernel(&kernel)?;
                let mut target = target(&mut self.mem, &self.board, &self.tables);
                entry.start(&mut target, &mut self.cpus[0]);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn load_kernel(&mut self, kernel: &Path) -> Result<Entry, ConfigError> {
        load::load_kernel(&self.config, kernel, &mut target(&mut self.mem, &self.board, &self.tables))
    }
}

fn target<'a>(mem: &'a mut Memory, board: &Board, tables: &tables::Tables) -> Target<'a> {
    Target { mem, layout: board.frames.layout, rsdp: tables.rsdp }
}

/// Nothing derived yet, as the configuration asks for it.
pub(super) fn derived(c: &Config) -> Derived {
    Derived::new(c.engine.into()).code_memory(c.code_memory).measured(c.statistics, c.list_blocks)
}
