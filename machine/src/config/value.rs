//! Values of the configuration's words, each with its parser. Errors are one line without the word's name.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Calendar at power-on under the virtual clock: 2024-01-01T00:00:00.
pub(super) const FIXED_START: i64 = 1_704_067_200;

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),* }
        impl $name {
            /// From its word.
            pub fn parse(v: &str) -> Result<$name, String> {
                match v {
                    $($word => Ok($name::$variant),)*
                    _ => Err(format!("'{v}' is not one of: {}", [$($word),*].join(", "))),
                }
            }
            /// Its word.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }
    };
}

choice! {
    /// How instructions are run.
    Engine {
        /// The faster of both.
        Auto = "auto",
        /// One decoded instruction after the other.
        Interpreter = "interpreter",
        /// Translated to the host's own instructions.
        Translator = "translator"
    }
}
choice! {
    /// What virtual time follows.
    ClockKind {
        /// The wall clock.
        Host = "host",
        /// The count of instructions, 1 ns each.
        Virtual = "virtual"
    }
}
choice! {
    /// Where the screen is shown.
    Display {
        /// A window.
        Window = "window",
        /// Text in the terminal.
        Terminal = "terminal",
        /// Nowhere.
        None = "none"
    }
}

/// The calendar at power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcStart {
    /// The host's time, UTC.
    Utc,
    /// The host's local time.
    Local,
    /// A given date: seconds since 1970-01-01T00:00:00.
    Date(i64),
}

impl RtcStart {
    /// `utc`, `local`, `2024-01-31` or `2024-01-31T12:00:00`.
    pub fn parse(v: &str) -> Result<RtcStart, String> {
        match v {
            "utc" => Ok(RtcStart::Utc),
            "local" => Ok(RtcStart::Local),
            _ => parse_date(v).map(RtcStart::Date).ok_or_else(|| {
                format!("'{v}' is not one of: utc, local, a date such as 2024-01-31T12:00:00")
            }),
        }
    }

    /// Seconds since 1970 that the clock shows at power-on.
    pub fn seconds(self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        match self {
            RtcStart::Utc => now,
            RtcStart::Local => now + local_offset_seconds(now),
            RtcStart::Date(s) => s,
        }
    }
}

/// Offset of local time from UTC, from the host's zone file (TZif, RFC 8536, version 1 block); 0 when there is none.
fn local_offset_seconds(now: i64) -> i64 {
    let path = match std::env::var("TZ") {
        Ok(tz) if tz.is_empty() || tz == "UTC" => return 0,
        Ok(tz) => PathBuf::from("/usr/share/zoneinfo").join(tz.trim_start_matches(':')),
        Err(_) => PathBuf::from("/etc/localtime"),
    };
    std::fs::read(path).ok().and_then(|b| tzif_offset(&b, now)).unwrap_or(0)
}

fn tzif_offset(b: &[u8], now: i64) -> Option<i64> {
    let word = |at: usize| Some(i32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?));
    if b.get(..4)? != b"TZif" {
        return None;
    }
    let times = usize::try_from(word(32)?).ok()?;
    let (at, indices) = (44, 44 + 4 * times);
    let mut kind = 0;
    for i in 0..times {
        if i64::from(word(at + 4 * i)?) <= now {
            kind = usize::from(*b.get(indices + i)?);
        }
    }
    Some(i64::from(word(indices + times + 6 * kind)?))
}

fn parse_date(v: &str) -> Option<i64> {
    let (date, time) = v.split_once(['T', ' ']).unwrap_or((v, "00:00:00"));
    let mut d = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (d.next()?.ok()?, d.next()?.ok()?, d.next()?.ok()?);
    let mut t = time.trim_end_matches('Z').split(':').map(str::parse::<i64>);
    let (hour, minute) = (t.next()?.ok()?, t.next()?.ok()?);
    let second = t.next().unwrap_or(Ok(0)).ok()?;
    let fits = d.next().is_none()
        && t.next().is_none()
        && (1980..=2099).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    fits.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|y| if leap(y) { 366 } else { 365 }).sum();
    let months: i64 = (1..month).map(|m| days_in(year, m)).sum();
    years + months + day - 1
}

/// A number that differs from run to run.
pub(super) fn host_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Where a serial port (or the debug console) leads.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerialTo {
    None,
    Stdio,
    File(PathBuf),
    /// HOST:PORT.
    Tcp(String),
    Pty,
}

impl SerialTo {
    /// `stdio`, `file:F`, `tcp:HOST:PORT`, `pty`, `none`.
    pub fn parse(v: &str) -> Result<SerialTo, String> {
        Ok(match v {
            "stdio" => SerialTo::Stdio,
            "none" => SerialTo::None,
            "pty" => SerialTo::Pty,
            _ => match v.split_once(':') {
                Some(("file", f)) if !f.is_empty() => SerialTo::File(f.into()),
                Some(("tcp", a)) if host_and_port(a) => SerialTo::Tcp(a.into()),
                _ => return Err(format!("'{v}' is not one of: stdio, file:F, tcp:HOST:PORT, pty, none")),
            },
        })
    }
}

/// Where a monitor would lead; its words are those of a serial port.
pub type MonitorTo = SerialTo;

fn host_and_port(a: &str) -> bool {
    a.rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok())
}

/// What a drive is.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriveKind {
    Disk,
    Cd,
    Floppy,
}

/// A drive described by `--drive`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The image.
    pub file: PathBuf,
    /// What drive it is in.
    pub kind: DriveKind,
    /// Image format, when not told by content.
    pub format: Option<String>,
    /// Whether writes are refused.
    pub read_only: bool,
}

impl Drive {
    /// `file=F,if=ide|floppy,media=disk|cdrom,format=F,readonly=on`.
    pub fn parse(v: &str) -> Result<Drive, String> {
        let (mut file, mut floppy, mut cd, mut format, mut read_only) = (None, false, None, None, false);
        for part in v.split(',') {
            match part.split_once('=').unwrap_or((part, "")) {
                ("file", f) if !f.is_empty() => file = Some(PathBuf::from(f)),
                ("if", "ide") => floppy = false,
                ("if", "floppy") => floppy = true,
                ("if", other) => return Err(format!("if={other}: use if=ide or if=floppy")),
                ("media", "disk") => cd = Some(false),
                ("media", "cdrom") => cd = Some(true),
                ("media", other) => return Err(format!("media={other}: use media=disk or media=cdrom")),
                ("format", f @ ("raw" | "qcow2" | "vmdk" | "vdi" | "vhd")) => format = Some(f.to_string()),
                ("format", other) => {
                    return Err(format!("format={other}: use format=raw, format=qcow2 or format=vmdk"));
                }
                ("readonly", "on") => read_only = true,
                ("readonly", "off") => read_only = false,
                ("readonly", other) => {
                    return Err(format!("readonly={other}: use readonly=on or readonly=off"));
                }
                _ => {
                    return Err(format!(
                        "unknown part '{part}': use file=F, if=, media=, format=, readonly="
                    ));
                }
            }
        }
        let file = file.ok_or("names no image: add file=F")?;
        let is_iso = || crate::load::kind::kind_of_file(&file) == Ok(crate::load::kind::FileKind::Cd);
        let kind = match (floppy, cd) {
            (true, _) => DriveKind::Floppy,
            (false, Some(true)) => DriveKind::Cd,
            (false, None) if is_iso() => DriveKind::Cd,
            (false, _) => DriveKind::Disk,
        };
        Ok(Drive { file, kind, format, read_only })
    }
}

/// What to log, and where.
#[allow(missing_docs)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSpec {
    pub exceptions: bool,
    pub interrupts: bool,
    pub resets: bool,
    pub unmapped: bool,
    pub chips: bool,
    /// `None`: standard error.
    pub file: Option<PathBuf>,
}

impl LogSpec {
    /// `exceptions,interrupts,...[:FILE]`.
    pub fn parse(v: &str) -> Result<LogSpec, String> {
        let (kinds, file) = match v.split_once(':') {
            Some((_, "")) => return Err("names no file after ':'".into()),
            Some((k, f)) => (k, Some(f.into())),
            None => (v, None),
        };
        let mut log = LogSpec { file, ..LogSpec::default() };
        for kind in kinds.split(',') {
            match kind {
                "exceptions" => log.exceptions = true,
                "interrupts" => log.interrupts = true,
                "resets" => log.resets = true,
                "unmapped" => log.unmapped = true,
                "chips" => log.chips = true,
                _ => {
                    return Err(format!(
                        "'{kind}' is not one of: exceptions, interrupts, resets, unmapped, chips"
                    ));
                }
            }
        }
        Ok(log)
    }

    /// Whether anything is logged at all.
    pub fn any(&self) -> bool {
        self.exceptions || self.interrupts || self.resets || self.unmapped || self.chips
    }
}

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAfter {
    /// Nanoseconds of guest time.
    Time(u64),
    /// Instructions.
    Instructions(u64),
}

impl StopAfter {
    /// `10s`, `500ms`, `2m`, `5000000i`.
    pub fn parse(v: &str) -> Result<StopAfter, String> {
        if let Some(n) = v.strip_suffix('i') {
            return n
                .parse()
                .map(StopAfter::Instructions)
                .map_err(|_| format!("'{v}' is not a count of instructions such as 5000000i"));
        }
        parse_duration_ns(v).map(StopAfter::Time).ok_or_else(|| {
            format!("'{v}' is neither a time such as 10s or 500ms nor a count such as 5000000i")
        })
    }
}

/// Nanoseconds of `10s`, `1.5s`, `500ms`, `20us`, `100ns`, `2m`, `1h`; a unit must be there.
pub fn parse_duration_ns(v: &str) -> Option<u64> {
    let digits = v.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = v.split_at(digits);
    let scale: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || fraction.len() > 9 || whole.is_empty() {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let part = match fraction {
        "" => 0,
        f => u128::from(f.parse::<u64>().ok()?) * u128::from(scale) / 10u128.pow(f.len() as u32),
    };
    whole.checked_add(part as u64)
}

/// Bytes of `512M`, `2G`, `640K`, `1T`; a bare number counts MiB.
pub fn parse_size(v: &str) -> Result<u64, String> {
    let bad = || format!("'{v}' is not a size: use a number with K, M or G, such as 512M");
    let upper = v.trim_end_matches(['i', 'B', 'b']);
    let (digits, shift) = match upper.chars().last().map(|c| c.to_ascii_uppercase()) {
        Some('K') => (&upper[..upper.len() - 1], 10),
        Some('M') => (&upper[..upper.len() - 1], 20),
        Some('G') => (&upper[..upper.len() - 1], 30),
        Some('T') => (&upper[..upper.len() - 1], 40),
        Some('0'..='9') => (upper, 20),
        _ => return Err(bad()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let n: u128 = digits.parse().map_err(|_| bad())?;
    Ok(u64::try_from(n << shift).unwrap_or(u64::MAX))
}

/// A size in its largest whole unit.
pub fn format_size(bytes: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}

impl From<Engine> for lucid86_cpu::derived::Engine {
    fn from(e: Engine) -> Self {
        match e {
            Engine::Auto => Self::Auto,
            Engine::Interpreter => Self::Interpreter,
            Engine::Translator => Self::Translator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_checked() {
        assert_eq!(RtcStart::parse("2024-01-01"), Ok(RtcStart::Date(FIXED_START)));
        // date -u -d 2000-02-29T12:34:56 +%s
        assert_eq!(RtcStart::parse("2000-02-29T12:34:56"), Ok(RtcStart::Date(951_827_696)));
        for bad in ["2023-02-29", "2024-13-01", "yesterday", "2024-01-01T25:00:00", "1970-01-01", ""] {
            assert!(RtcStart::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration_ns("1.5s"), Some(1_500_000_000));
        assert_eq!(parse_duration_ns("3s"), Some(3_000_000_000));
        assert_eq!(parse_duration_ns("7"), None);
        assert_eq!(parse_duration_ns("s"), None);
        assert_eq!(parse_duration_ns("99999999999999999999h"), None);
    }

    #[test]
    fn logs_name_kinds_and_a_file() {
        let l = LogSpec::parse("resets,chips:/tmp/x").unwrap();
        assert!(l.resets && l.chips && !l.exceptions);
        assert_eq!(l.file, Some("/tmp/x".into()));
        assert!(LogSpec::parse("everything").unwrap_err().contains("resets"));
    }
}
