//! The command line (DESIGN §8). The words and their meanings are the machine's [`WORDS`]; here is only how they are
//! written: `--word value`, `--word=value`, `--flag`, and one medium without a word.

use lexopt::{Arg, Parser};
use lucid86_machine::Config;
use lucid86_machine::config::{WORDS, Word, WordKind};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the arguments ask for.
#[derive(Debug)]
pub enum Command {
    /// Text for standard output: help or version.
    Show(String),
    /// A machine to run.
    Run(Box<Config>),
}

/// Sub-commands of the contract that are not built yet.
const LATER: &[&str] = &["qemu", "debug", "image", "inspect"];

/// Understands the arguments (without the program's name). Errors are one line without the program's name.
pub fn parse(args: Vec<OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_args(args);
    let mut medium: Option<PathBuf> = None;
    let mut words: Vec<(String, Option<String>)> = Vec::new();
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Show(help())),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Show(version())),
            Arg::Long(name) => {
                let name = name.to_string();
                let value = value_of(&mut parser, &name)?;
                if name == "cpu" && value.as_deref() == Some("help") {
                    return Ok(Command::Show(models()));
                }
                words.push((name, value));
            }
            Arg::Short(c) => return Err(format!("unknown option '-{c}': --help lists the words")),
            Arg::Value(v) => add_medium(&mut medium, v)?,
        }
    }
    let mut config = Config::default();
    if let Some(path) = &medium {
        not_a_subcommand(path)?;
        config.add_medium(path).map_err(|e| e.to_string())?;
    }
    for (name, value) in &words {
        not_later(name, value.as_deref())?;
        config.set(name, value.as_deref()).map_err(|e| e.to_string())?;
    }
    config.validate().map_err(|e| e.to_string())?;
    Ok(Command::Run(Box::new(config)))
}

/// What `--cpu help` prints: a model a line.
fn models() -> String {
    lucid86_machine::config::cpu_models().fold(String::new(), |text, name| text + name + "\n")
}

/// The value that belongs to `--name`, if it takes one. An unknown word is refused before what follows it is looked at.
fn value_of(parser: &mut Parser, name: &str) -> Result<Option<String>, String> {
    let text = |v: OsString| v.into_string().map_err(|v| format!("{name}: {v:?} is not valid Unicode"));
    match WORDS.iter().find(|w| w.name == name) {
        Some(w) if w.kind != WordKind::Flag => match parser.value() {
            Ok(v) => text(v).map(Some),
            Err(_) => Ok(None),
        },
        Some(_) => parser.optional_value().map(text).transpose(),
        None => Err(Config::default().set(name, None).err().map_or_else(String::new, |e| e.to_string())),
    }
}

fn add_medium(medium: &mut Option<PathBuf>, v: OsString) -> Result<(), String> {
    let path = PathBuf::from(v);
    if path.as_os_str().is_empty() {
        return Err("the name of the medium is empty".into());
    }
    match medium {
        None => *medium = Some(path),
        Some(first) => {
            return Err(format!(
                "two media without a word: '{}' and '{}': name them with --hda, --cdrom, --fda or --kernel",
                first.display(),
                path.display()
            ));
        }
    }
    Ok(())
}

fn not_a_subcommand(path: &Path) -> Result<(), String> {
    match path.to_str() {
        Some(name) if LATER.contains(&name) && !path.exists() => Err(format!("{name}: not in this version")),
        _ => Ok(()),
    }
}

/// Values of the contract whose parts are not built yet.
fn not_later(name: &str, value: Option<&str>) -> Result<(), String> {
    match (name, value) {
        ("display", Some(v)) if v == "vnc" || v.starts_with("vnc:") => {
            Err("display: vnc: not in this version".into())
        }
        _ => Ok(()),
    }
}

fn version() -> String {
    format!("lucid86 {}\n", env!("CARGO_PKG_VERSION"))
}

/// The words of `--net`.
const NETWORK: &str = "
--net user[,host=on][,restrict=on][,tftp=DIR][,bootfile=F][,forward=tcp:HOSTPORT:GUESTPORT]...
      socket,listen=HOST:PORT | socket,connect=HOST:PORT | socket,udp=HOST:PORT,local=HOST:PORT    (or unix:PATH)
      tap,ifname=NAME | none,  each with [,model=ne2k_pci] or ,model=ne2k_isa[,base=0x300][,irq=3][,ram=16K|32K],
      and [,mac=52:54:00:12:34:56]; on PCI with [,romfile=F], a boot ROM for --boot n.
      host=on: 10.0.2.2 reaches this computer's loopback. restrict=on: only forwards.
";

/// Columns before the help text of a word.
const INDENT: usize = 34;

fn help() -> String {
    let mut text = String::from(
        "lucid86: a whole x86 PC in software\n\n\
         Usage: lucid86 [MACHINE.toml | DISK.img | CD.iso | KERNEL] [options]\n\n\
         The kind of the medium is told by its content. Without any medium, the built-in tour starts.\n\
         A machine file holds the same words as TOML: memory = \"512M\", no-reboot = true.\n\nOptions:\n",
    );
    WORDS.iter().for_each(|w| text += &help_line(w));
    text += &format!("  {:<INDENT$}this text\n", "--help");
    text += &format!("  {:<INDENT$}name and version\n", "--version");
    text += NETWORK;
    text += "\nKeys on a serial port on standard input and in the terminal display:\n  \
             Ctrl-A x ends, Ctrl-A a sends Ctrl-A, Ctrl-A h shows the keys\n\n\
             A serial port on tcp:HOST:PORT listens there for one peer at a time.\n\n\
             Exit status: 0 switched off or window closed; 2 wrong usage or files; 4 --stop-after ran out or nothing\n\
             is pending; 6 triple fault with --no-reboot; odd for a write to isa-debug-exit; 128+N on signal N\n";
    text
}

fn help_line(w: &Word) -> String {
    let word = format!("--{} {}", w.name, w.shape);
    if word.trim_end().len() < INDENT {
        format!("  {:<INDENT$}{}\n", word.trim_end(), w.help)
    } else {
        format!("  {}\n  {:<INDENT$}{}\n", word.trim_end(), "", w.help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        match parse(args.iter().map(OsString::from).collect())? {
            Command::Run(c) => Ok(*c),
            Command::Show(t) => Err(t),
        }
    }

    #[test]
    fn words_take_values_in_both_ways() {
        let c = config(&["--memory", "64M", "--append=a b=c", "--kernel", "k", "--no-reboot"]).unwrap();
        assert_eq!((c.memory, c.append.as_deref(), c.no_reboot), (64 << 20, Some("a b=c"), true));
    }

    #[test]
    fn wrong_words_get_a_line() {
        for (args, part) in [
            (&["--memory"][..], "needs a value"),
            (&["--memory", "0"], "range"),
            (&["--bogus"], "unknown"),
            (&["-x"], "unknown option"),
            (&["--no-reboot=1"], "takes no value"),
            (&["--gdb", "localhost"], "HOST:PORT"),
            (&["--paused"], "nobody"),
            (&["--display", "vnc:localhost:1"], "not in this version"),
            (&["qemu"], "not in this version"),
            (&["a.img", "b.img"], "two media"),
            (&["/no/such/file"], "no such file"),
            (&[""], "empty"),
        ] {
            let e = config(args).unwrap_err();
            assert!(e.contains(part) && !e.contains('\n'), "{args:?}: {e}");
        }
    }

    #[test]
    fn help_lists_every_word_and_nothing_else() {
        let text = help();
        assert!(WORDS.iter().all(|w| text.contains(&format!("--{}", w.name))));
        assert!(!text.contains("--control"));
    }
}
