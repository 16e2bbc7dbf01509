//! What machine to build and how to run it. One list of words ([`WORDS`]) serves the command line (`--memory 512M`) and
//! the machine file (`memory = "512M"`); [`Config::set`] gives each word its meaning and refuses what makes no sense in
//! one line that says what is wrong and what would be right. DESIGN §8.

mod net;
mod value;
mod words;

pub use net::{Forward, NetModel, NetSpec, NetTo, SocketNet, SocketPlace, UserNet};
pub use value::{
    ClockKind, Display, Drive, DriveKind, Engine, LogSpec, MonitorTo, RtcStart, SerialTo, StopAfter,
    format_size, parse_duration_ns, parse_size,
};
pub use words::{WORDS, Word, WordKind};

use std::fmt;
use std::path::{Path, PathBuf};

/// The processor models that `--cpu` knows, from the oldest on.
pub fn cpu_models() -> impl Iterator<Item = &'static str> {
    lucid86_cpu::model::CpuModel::names()
}

/// One line: what is wrong with the configuration and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl ConfigError {
    /// From a line of text.
    pub fn new(line: impl Into<String>) -> ConfigError {
        ConfigError(line.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Smallest RAM that a PC with extended memory makes sense with.
pub const MIN_MEMORY: u64 = 1 << 20;
/// Largest RAM: everything, with the hole below 4 GiB, stays under 36 bits of physical address.
pub const MAX_MEMORY: u64 = 62 << 30;
/// Most processors.
pub const MAX_CPUS: usize = 32;
/// Serial ports of the machine.
pub const SERIAL_PORTS: usize = 4;

/// A whole machine and how to run it. Field names are the words of the command line.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Bytes of RAM.
    pub memory: u64,
    pub cpus: usize,
    /// Processor model, as `--cpu` takes it.
    pub cpu: String,
    pub engine: Engine,
    /// Most bytes of translated code.
    pub code_memory: u64,
    pub clock: ClockKind,
    /// Under the host clock: how late a tick may come, in nanoseconds, for which a guest waits that has nothing else to do.
    pub tick_slack_ns: u64,
    /// `None`: the host's UTC under the host clock, a fixed date under the virtual one.
    pub rtc: Option<RtcStart>,
    /// `None`: from the host under the host clock, fixed under the virtual one.
    pub seed: Option<u64>,
    /// Hard disks hda to hdd.
    pub hd: [Option<PathBuf>; 4],
    pub cdrom: Option<PathBuf>,
    /// Floppies fda and fdb.
    pub fd: [Option<PathBuf>; 2],
    /// The contents of a diskette for drive A that comes with the program, not from a file (the tour). Used when `fd[0]`
    /// is empty.
    pub built_in_floppy: Option<Vec<u8>>,
    pub drive: Vec<Drive>,
    /// Boot order: letters a, c, d. Empty: by what is there.
    pub boot: String,
    pub boot_menu: bool,
    pub discard_writes: bool,
    pub bios: Option<PathBuf>,
    pub vga_bios: Option<PathBuf>,
    pub kernel: Option<PathBuf>,
    /// Initial RAM disk; for a multiboot kernel also its modules, separated by commas.
    pub initrd: Option<String>,
    pub append: Option<String>,
    /// COM1, COM2, ... in order.
    pub serial: Vec<SerialTo>,
    pub debugcon: Option<SerialTo>,
    /// Network cards, in order.
    pub net: Vec<NetSpec>,
    /// Every frame of every card, as pcapng.
    pub net_dump: Option<PathBuf>,
    /// `None`: the front end chooses.
    pub display: Option<Display>,
    pub screenshot: Option<PathBuf>,
    pub script: Option<PathBuf>,
    /// Script text given directly (tests, library); `script` is read when this is empty.
    pub script_text: Option<String>,
    pub save: Option<PathBuf>,
    pub load: Option<PathBuf>,
    pub gdb: Option<String>,
    pub paused: bool,
    pub monitor: Option<MonitorTo>,
    /// Bytes for the history; 0: none. `None`: the default where a debugger may come.
    pub history: Option<u64>,
    pub record: Option<PathBuf>,
    pub replay: Option<PathBuf>,
    pub post_mortem: Option<PathBuf>,
    pub log: LogSpec,
    pub statistics: bool,
    /// How many hot translated blocks `statistics` lists.
    pub list_blocks: usize,
    pub no_reboot: bool,
    pub no_debug_exit: bool,
    pub stop_after: Option<StopAfter>,
    pub print_state_hash: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            memory: 512 << 20,
            cpus: 1,
            cpu: "x86-64-v2".into(),
            engine: Engine::Auto,
            code_memory: 64 << 20,
            clock: ClockKind::Host,
            tick_slack_ns: 50_000_000,
            rtc: None,
            seed: None,
            hd: [None, None, None, None],
            cdrom: None,
            fd: [None, None],
            built_in_floppy: None,
            drive: Vec::new(),
            boot: String::new(),
            boot_menu: false,
            discard_writes: false,
            bios: None,
            vga_bios: None,
            kernel: None,
            initrd: None,
            append: None,
            serial: Vec::new(),
            debugcon: None,
            net: Vec::new(),
            net_dump: None,
            display: None,
            screenshot: None,
            script: None,
            script_text: None,
            save: None,
            load: None,
            gdb: None,
            paused: false,
            monitor: None,
            history: None,
            record: None,
            replay: None,
            post_mortem: None,
            log: LogSpec::default(),
            statistics: false,
            list_blocks: 0,
            no_reboot: false,
            no_debug_exit: false,
            stop_after: None,
            print_state_hash: false,
        }
    }
}

impl Config {
    /// A machine from the text of a machine file. `name` is for messages.
    pub fn from_toml(text: &str, name: &str) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        config.apply_toml(text, name)?;
        Ok(config)
    }

    /// Applies the words of a machine file on top of what is set.
    pub fn apply_toml(&mut self, text: &str, name: &str) -> Result<(), ConfigError> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |s| 1 + text[..s.start.min(text.len())].matches('\n').count());
            ConfigError(format!("{name}, line {line}: not TOML: {}", e.message().replace('\n', " ")))
        })?;
        for (key, value) in &table {
            self.apply_toml_value(key, value).map_err(|e| ConfigError(format!("{name}: {e}")))?;
        }
        Ok(())
    }

    fn apply_toml_value(&mut self, key: &str, value: &toml::Value) -> Result<(), ConfigError> {
        let word = words::find(key)?;
        match (word.kind, value) {
            (WordKind::Flag, toml::Value::Boolean(true)) => self.set(key, None),
            (WordKind::Flag, toml::Value::Boolean(false)) => Ok(()),
            (WordKind::Flag, _) => {
                Err(ConfigError(format!("{key}: expected true or false, found {}", kind_of(value))))
            }
            (_, toml::Value::String(s)) => self.set(key, Some(s)),
            (WordKind::List, toml::Value::Array(items)) => {
                items.iter().try_for_each(|item| self.apply_toml_value(key, item))
            }
            (WordKind::Number, toml::Value::Integer(n)) => self.set(key, Some(&n.to_string())),
            _ => Err(ConfigError(format!("{key}: expected {}, found {}", word.expects(), kind_of(value)))),
        }
    }

    /// Gives a word its value: `set("memory", Some("512M"))`, `set("no-reboot", None)`. Words that take a list append.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), ConfigError> {
        let word = words::find(name)?;
        match (word.kind, value) {
            (WordKind::Flag, None) => words::set_flag(self, word.name),
            (WordKind::Flag, Some(v)) => {
                return Err(ConfigError(format!("{name}: takes no value, found '{v}'")));
            }
            (_, None) => return Err(ConfigError(format!("{name}: needs a value: {}", word.expects()))),
            (_, Some("")) if word.kind != WordKind::Text => {
                return Err(ConfigError(format!("{name}: needs a value: {}", word.expects())));
            }
            (_, Some(v)) => {
                words::set_value(self, word.name, v)
                    .map_err(|e| ConfigError(format!("{}: {e}", word.name)))?;
            }
        }
        Ok(())
    }

    /// What can only be said of the whole. [`crate::Machine::new`] calls it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let err = |s: &str| Err(ConfigError(s.into()));
        if self.kernel.is_none() && self.initrd.is_some() {
            return err("initrd: needs a kernel: add --kernel FILE");
        }
        if self.kernel.is_none() && self.append.is_some() {
            return err("append: needs a kernel: add --kernel FILE");
        }
        if self.kernel.is_some() && self.bios.is_some() {
            return err("kernel: is started by the built-in firmware: leave out --bios");
        }
        if self.cpus == 0 || self.cpus > MAX_CPUS {
            return Err(ConfigError(format!("cpus: {} is out of range: 1 to {MAX_CPUS}", self.cpus)));
        }
        if self.memory < MIN_MEMORY || self.memory > MAX_MEMORY {
            return Err(words::memory_range(self.memory));
        }
        if self.serial.len() > SERIAL_PORTS {
            return Err(ConfigError(format!(
                "serial: {} given, the machine has {SERIAL_PORTS}",
                self.serial.len()
            )));
        }
        self.validate_net()?;
        if self.stdio_owners() > 1 {
            return err(
                "serial: standard input and output can serve one of --serial and --debugcon, not several",
            );
        }
        if self.paused && self.gdb.is_none() && self.monitor.is_none() {
            return err("paused: nobody could ever start it: add --gdb or --monitor");
        }
        if self.record.is_some() && self.replay.is_some() {
            return err("record: a run that is replayed is recorded already: leave out --record or --replay");
        }
        if self.cdrom.is_some() && self.hd[2].is_some() {
            return err("cdrom: the drive at hdc is taken by --hdc: leave one out, or put the disk at --hdd");
        }
        Ok(())
    }

    fn validate_net(&self) -> Result<(), ConfigError> {
        if self.boot.contains('n') && self.bios.is_none() && !self.has_boot_rom() {
            let why = "boot: n wants a card with a boot ROM: add romfile=FILE to its --net, such as pxe-ne2k_pci.rom of iPXE";
            return Err(ConfigError(why.into()));
        }
        if self.net.len() > crate::board::CARDS {
            let n = crate::board::CARDS;
            return Err(ConfigError(format!(
                "net: {} cards given, the machine has room for {n}",
                self.net.len()
            )));
        }
        let jumpers = |n: &NetSpec| match n.model {
            NetModel::Ne2kIsa { base, irq, .. } => Some((base, irq)),
            NetModel::Ne2kPci => None,
        };
        let set: Vec<_> = self.net.iter().filter_map(jumpers).collect();
        for (i, a) in set.iter().enumerate() {
            if set[..i].iter().any(|b| a.0 == b.0 || a.1 == b.1) {
                return Err(ConfigError("net: two ISA cards want base= and irq= of their own".into()));
            }
        }
        Ok(())
    }

    /// The address of network card `card`: given, or a locally administered one from the seed.
    pub fn mac(&self, card: usize) -> [u8; 6] {
        if let Some(mac) = self.net.get(card).and_then(|n| n.mac) {
            return mac;
        }
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(b"network card", self.seed_value());
        let [a, b, c, ..] = hash.wrapping_add(card as u64).to_le_bytes();
        [0x52, 0x54, 0x00, c, b, a]
    }

    /// How many parts want the process's standard input and output.
    pub fn stdio_owners(&self) -> usize {
        let one = self.serial.iter().chain(&self.debugcon).filter(|s| **s == SerialTo::Stdio).count();
        // A serial port and the monitor share it: Ctrl-A c switches.
        let shared = self.serial.contains(&SerialTo::Stdio);
        one + usize::from(self.monitor == Some(SerialTo::Stdio) && !shared)
    }

    /// Start of the calendar: seconds since 1970-01-01T00:00:00, in the guest's own notion of local time.
    pub fn rtc_start_seconds(&self) -> i64 {
        match (&self.rtc, self.clock) {
            (Some(r), _) => r.seconds(),
            (None, ClockKind::Host) => RtcStart::Utc.seconds(),
            (None, ClockKind::Virtual) => value::FIXED_START,
        }
    }

    /// The seed of everything random: fixed under the virtual clock unless given.
    pub fn seed_value(&self) -> u64 {
        match (self.seed, self.clock) {
            (Some(s), _) => s,
            (None, ClockKind::Virtual) => 1,
            (None, ClockKind::Host) => value::host_seed(),
        }
    }

    /// Adds the file given without a word: a machine file, a disk, floppy or CD image, or a kernel, told by content.
    pub fn add_medium(&mut self, path: &Path) -> Result<(), ConfigError> {
        use crate::load::kind::{FileKind, kind_of_file};
        match kind_of_file(path)? {
            FileKind::MachineFile => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
                self.apply_toml(&text, &name)?;
            }
            FileKind::Kernel => self.kernel = Some(path.into()),
            FileKind::Cd => self.cdrom = Some(path.into()),
            FileKind::Floppy => self.fd[0] = Some(path.into()),
            FileKind::Disk => self.hd[0] = Some(path.into()),
        }
        Ok(())
    }

    /// Whether there is a second floppy drive: only when it has a medium.
    pub fn has_floppy_b(&self) -> bool {
        let described = self.drive.iter().filter(|d| d.kind == DriveKind::Floppy).count();
        self.fd[1].is_some() || described + usize::from(self.fd[0].is_some()) > 1
    }

    /// Whether a network card has a boot ROM.
    fn has_boot_rom(&self) -> bool {
        self.net.iter().any(|n| n.rom.is_some())
    }

    /// Boot order when none is given: media that are there, disks first, then CD, then floppy, then the network.
    pub fn default_boot_order(&self) -> String {
        let described = |kind| self.drive.iter().any(|d| d.kind == kind);
        let mut order = String::new();
        if self.hd.iter().any(Option::is_some) || described(DriveKind::Disk) {
            order.push('c');
        }
        if self.cdrom.is_some() || described(DriveKind::Cd) {
            order.push('d');
        }
        if self.fd.iter().any(Option::is_some) || described(DriveKind::Floppy) {
            order.push('a');
        }
        if self.has_boot_rom() {
            order.push('n');
        }
        if order.is_empty() { "cda".into() } else { order }
    }

    /// Whether there is anything to start from: a medium, a kernel, another BIOS or a saved state.
    pub fn has_medium(&self) -> bool {
        self.hd.iter().chain(&self.fd).any(Option::is_some)
            || self.cdrom.is_some()
            || !self.drive.is_empty()
            || self.kernel.is_some()
            || self.bios.is_some()
            || self.has_boot_rom()
    }
}

/// The line for a file that can't be opened or read.
pub fn unreadable(path: &Path, e: &std::io::Error) -> ConfigError {
    let why = match e.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_string(),
        std::io::ErrorKind::PermissionDenied => "no permission to read it".to_string(),
        _ => e.to_string(),
    };
    ConfigError(format!("{}: {why}", path.display()))
}

fn kind_of(v: &toml::Value) -> &'static str {
    match v {
        toml::Value::String(_) => "a string",
        toml::Value::Integer(_) => "a number",
        toml::Value::Float(_) => "a fraction",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date without quotes",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(word: &str, v: &str) -> Result<Config, String> {
        let mut c = Config::default();
        c.set(word, Some(v)).map_err(|e| e.0)?;
        c.validate().map_err(|e| e.0)?;
        Ok(c)
    }

    #[test]
    fn memory_has_units_and_bounds() {
        assert_eq!(set("memory", "64M").unwrap().memory, 64 << 20);
        assert_eq!(set("memory", "2G").unwrap().memory, 2 << 30);
        assert_eq!(set("code-memory", "2M").unwrap().code_memory, 2 << 20);
        for bad in ["0", "1023K", "2G", "x"] {
            let e = set("code-memory", bad).unwrap_err();
            assert!(e.starts_with("code-memory: ") && !e.contains('\n'), "{bad}: {e}");
        }
        assert_eq!(set("memory", "512").unwrap().memory, 512 << 20);
        for bad in ["0", "99999G", "-1", "M", "12Q", "1e9", "18446744073709551616G", "512K", "1.5G", "4097K"]
        {
            let e = set("memory", bad).unwrap_err();
            assert!(e.starts_with("memory: ") && !e.contains('\n'), "{bad}: {e}");
        }
    }

    #[test]
    fn unknown_words_say_so() {
        assert!(set("memroy", "1M").unwrap_err().contains("memory"));
        assert!(set("xyzzy", "1M").unwrap_err().contains("unknown"));
        assert!(set("control", "localhost:1234").unwrap_err().contains("not in this version"));
    }

    #[test]
    fn a_machine_file_has_the_same_words() {
        let c = Config::from_toml(
            "memory = \"64M\"\nno-reboot = true\nserial = [\"stdio\", \"none\"]\ncpus = 2\nseed = 7\n",
            "m.toml",
        )
        .unwrap();
        assert_eq!((c.memory, c.no_reboot, c.serial.len(), c.cpus, c.seed), (64 << 20, true, 2, 2, Some(7)));
        for bad in
            ["memory = true", "no-reboot = 3", "foo = 1", "memory = ", "serial = [3]", "[memory]\nx = 1"]
        {
            let e = Config::from_toml(bad, "m.toml").unwrap_err().0;
            assert!(e.starts_with("m.toml") && !e.contains('\n'), "{e}");
        }
    }

    #[test]
    fn stop_after_takes_time_or_instructions() {
        assert_eq!(set("stop-after", "10s").unwrap().stop_after, Some(StopAfter::Time(10_000_000_000)));
        assert_eq!(set("stop-after", "1500ms").unwrap().stop_after, Some(StopAfter::Time(1_500_000_000)));
        assert_eq!(
            set("stop-after", "5000000i").unwrap().stop_after,
            Some(StopAfter::Instructions(5_000_000))
        );
        assert!(set("stop-after", "10").unwrap_err().contains("10s"));
    }

    #[test]
    fn one_owner_of_standard_input() {
        let mut c = Config::default();
        c.set("serial", Some("stdio")).unwrap();
        c.set("debugcon", Some("stdio")).unwrap();
        assert!(c.validate().is_err());
    }

    #[test]
    fn drives_are_described_in_words() {
        let c = set("drive", "file=/x,if=floppy,readonly=on").unwrap();
        assert_eq!(c.drive[0].kind, DriveKind::Floppy);
        assert!(c.drive[0].read_only);
        assert!(set("drive", "if=ide").unwrap_err().contains("file="));
        assert!(set("drive", "file=x,if=scsi").unwrap_err().contains("ide"));
    }
}
