//! One run: the machine on a thread of its own, the display on this one, and what is to be done at the end.

use crate::choose::{self, HostHas};
use crate::debug::{Debuggers, Mail};
use crate::end::Ending;
use crate::host::Host;
use crate::picture::{Camera, Picture};
use crate::{STATUS_USAGE, serial, terminal, window};
use lucid86_machine::config::Display;
use lucid86_machine::{Config, Inputs, Machine, Outcome, View};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Stack of the machine's thread.
const STACK: usize = 16 << 20;

/// A display that has been opened and waits for the machine to start.
enum Opened {
    None,
    Terminal,
    Window(Box<window::Screen>),
}

/// Runs a machine to its end; the exit status. Errors are one line.
pub fn run(mut config: Config) -> Result<u8, String> {
    if !config.has_medium() {
        config.built_in_floppy = Some(lucid86_examples::tour::floppy_image());
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let displays = choose::displays(&config, HostHas { windows: window::possible(), terminal })?;
    let mut machine = Machine::new(config).map_err(|e| e.to_string())?;
    let config = machine.config().clone();
    check_outputs(&config)?;
    if let Some(path) = &config.record {
        let done = std::fs::File::create(path).map_err(|e| e.to_string()).and_then(|f| machine.record_to(f));
        done.map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let ending = Ending::watch();
    if let (Some(path), Some(at)) = (&config.replay, machine.replay_cut_short()) {
        let t = at.now_ns as f64 / 1e9;
        let name = path.display();
        ending.say(&format!("{name}: was cut short: known up to instruction {}, {t:.3} s", at.count));
    }
    let started = Instant::now();
    let ended = run_watched(&config, machine, &displays, &ending);
    ending.restore();
    let (mut machine, outcome) = ended?;
    if config.statistics {
        eprint!("{}", statistics(machine.count(), machine.now_ns(), started.elapsed()));
        eprint!("{}", machine.engine_report());
    }
    Ok(finish(&config, &mut machine, &outcome, &ending))
}

/// The run itself. The caller restores the terminal, whatever happened.
fn run_watched(
    config: &Config,
    mut machine: Machine,
    displays: &[Display],
    ending: &Arc<Ending>,
) -> Result<(Machine, Outcome), String> {
    let opened = open_display(displays, config.display.is_some())?;
    let picture = Arc::new(Picture::default());
    let debuggers = Debuggers::open(config, ending)?;
    let shared = debuggers.as_ref().filter(|_| choose::monitor_shares(config)).map(Debuggers::mail);
    let host = connect(config, &mut machine, &opened, &picture, ending, shared)?;
    let input = match opened {
        Opened::None => None,
        _ => Some(machine.connect()),
    };
    let running = start(machine, host, debuggers)?;
    show(opened, input, &picture, &running, ending)?;
    running.join().map_err(|_| "the machine's thread failed".to_string())
}

/// Files that are written at the end must be writable now, not after an hour.
fn check_outputs(config: &Config) -> Result<(), String> {
    let outputs = [&config.screenshot, &config.save, &config.record, &config.post_mortem];
    for path in outputs.into_iter().flatten() {
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(|e| format!("{}: can't be written: {e}", path.display()))?;
    }
    Ok(())
}

fn open_display(displays: &[Display], chosen: bool) -> Result<Opened, String> {
    for (i, display) in displays.iter().enumerate() {
        match display {
            Display::None => return Ok(Opened::None),
            Display::Terminal => return Ok(Opened::Terminal),
            Display::Window => match window::Screen::open() {
                Ok(screen) => return Ok(Opened::Window(Box::new(screen))),
                Err(why) if chosen || i + 1 == displays.len() => {
                    return Err(format!(
                        "display: no window can be opened: {why}: try --display terminal or none"
                    ));
                }
                Err(_) => {}
            },
        }
    }
    Ok(Opened::None)
}

/// Opens everything that the machine's output goes to.
fn connect(
    config: &Config,
    machine: &mut Machine,
    opened: &Opened,
    picture: &Arc<Picture>,
    ending: &Arc<Ending>,
    monitor: Option<Mail>,
) -> Result<Host, String> {
    let camera = match opened {
        Opened::None => None,
        Opened::Terminal => Some(Camera::new(true, Duration::from_millis(33))),
        Opened::Window(_) => Some(Camera::new(false, Duration::from_millis(16))),
    };
    let debug = serial::open_debug(config.debugcon.as_ref())?;
    let log = config.log.file.as_deref().map(serial::create).transpose()?;
    let say: lucid86_machine::net::Say = {
        let ending = Arc::clone(ending);
        Arc::new(move |line: &str| ending.say(line))
    };
    if !config.net.is_empty() {
        machine.plug_in(&say).map_err(|e| e.to_string())?;
    }
    let mut ports = Vec::new();
    for (port, to) in config.serial.iter().enumerate() {
        ports.push(serial::open(port, to, &mut || machine.connect(), ending, monitor.clone())?);
    }
    Ok(Host {
        serial: ports,
        debug,
        log,
        camera: camera.map(|c| (c, Arc::clone(picture))),
        ending: Arc::clone(ending),
        inbox: None,
    })
}

/// A machine at work.
pub type Running = JoinHandle<(Machine, Outcome)>;

fn start(mut machine: Machine, mut host: Host, debuggers: Option<Debuggers>) -> Result<Running, String> {
    std::thread::Builder::new()
        .name("machine".into())
        .stack_size(STACK)
        .spawn(move || match debuggers {
            Some(d) => d.run(machine, host),
            None => {
                let outcome = machine.run(&mut host);
                (machine, outcome)
            }
        })
        .map_err(|e| format!("no thread for the machine: {e}"))
}

fn show(
    opened: Opened,
    input: Option<Inputs>,
    picture: &Picture,
    running: &Running,
    ending: &Arc<Ending>,
) -> Result<(), String> {
    match (opened, input) {
        (Opened::Terminal, Some(input)) => terminal::show(&input, picture, running, ending),
        (Opened::Window(screen), Some(input)) => screen.show(&input, picture, running, ending),
        _ => Ok(()),
    }
}

/// Figures of the run, a line each.
fn statistics(count: u64, guest_ns: u64, host: Duration) -> String {
    let rate = count as f64 / host.as_secs_f64().max(1e-9) / 1e6;
    format!(
        "instructions        {count}\nguest time          {:.3} s\nhost time           {:.3} s\n\
         million a second    {rate:.1}\n",
        guest_ns as f64 / 1e9,
        host.as_secs_f64()
    )
}

/// What is to be done when the run has ended; the exit status.
fn finish(config: &Config, machine: &mut Machine, outcome: &Outcome, ending: &Ending) -> u8 {
    let mut status = outcome.exit_status();
    if let Some(signal) = ending.signal().filter(|_| *outcome == Outcome::Quit) {
        status = 128 + signal;
    }
    match outcome {
        Outcome::TripleFault(report) => eprintln!("{}", report.trim_end()),
        Outcome::HostError(line) => ending.say(line),
        Outcome::NothingPending if config.post_mortem.is_some() && machine.hangs(0) => {
            machine.find_trail(0);
            let report = machine.post_mortem(0, "a hang");
            machine.write_post_mortem(&report);
        }
        Outcome::NothingPending => ending.say("the guest waits, and nothing is pending that could wake it"),
        _ => {}
    }
    let mut write = |path: &Path, bytes: Result<Vec<u8>, String>| {
        let done = bytes.and_then(|b| std::fs::write(path, b).map_err(|e| e.to_string()));
        if let Err(e) = done {
            ending.say(&format!("{}: {e}", path.display()));
            status = STATUS_USAGE;
        }
    };
    if let Some(path) = &config.screenshot {
        write(path, machine.screenshot_png());
    }
    if let Some(path) = &config.save {
        let bytes = machine.save();
        write(path, bytes.map_err(|e| e.to_string()));
    }
    if let Some(path) = &config.record
        && let Err(e) = machine.finish_recording()
    {
        ending.say(&format!("{}: {e}", path.display()));
        status = STATUS_USAGE;
    }
    if config.print_state_hash {
        let hash = machine.state_hash();
        eprintln!("state {hash:016x} at {}", machine.count());
    }
    status
}
