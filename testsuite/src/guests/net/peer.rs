//! The same guest, kernel and script under QEMU, where it is installed: what our throughput is measured beside, and who is at
//! the other end of a cable.

use super::session::{Options, Run};
use lucid86_machine::Config;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const PROGRAM: &str = "qemu-system-x86_64";

/// Whether there is a QEMU on this host.
pub fn installed() -> bool {
    let found = |dir: &Path| dir.join(PROGRAM).is_file();
    std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| found(&d)))
}

/// A machine that ends with its owner.
struct Qemu {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Gone already, or gone now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Qemu {
    /// The kernel, initrd and memory of `config`, with the network of `net`, on one thread of TCG.
    fn start(config: &Config, net: &[String]) -> Result<Qemu, String> {
        let path = |p: &Option<String>| p.clone().unwrap_or_default();
        let mut c = Command::new(PROGRAM);
        c.args("-accel tcg,thread=single -display none -serial stdio -monitor none -no-reboot -m".split(' '));
        c.arg(format!("{}M", config.memory >> 20)).args(net);
        c.arg("-kernel").arg(config.kernel.clone().unwrap_or_default());
        c.args(["-initrd", &path(&config.initrd), "-append", &path(&config.append)]);
        c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = c.spawn().map_err(|e| format!("{PROGRAM}: {e}"))?;
        let (Some(keyboard), Some(mut out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{PROGRAM} has no output"));
        };
        let (to, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                if to.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Qemu { child, keyboard, screen })
    }
}

/// A line of a script: what is waited for or typed on COM1.
enum Step {
    Wait(String),
    Type(String),
}

/// The lines of a script that concern COM1, which is all that these scripts have; they end with `quit`.
fn steps(script: &str) -> Result<Vec<Step>, String> {
    let text = |quoted: &str| {
        let inner = quoted.trim().strip_prefix('"').and_then(|q| q.strip_suffix('"'));
        inner.map(|t| t.replace("\\n", "\n")).ok_or_else(|| format!("not a text: {quoted}"))
    };
    let lines = script.lines().filter(|l| !l.is_empty() && *l != "quit");
    lines
        .map(|line| match (line.strip_prefix("wait serial "), line.strip_prefix("serial ")) {
            (Some(t), _) => Ok(Step::Wait(text(t)?)),
            (_, Some(t)) => Ok(Step::Type(text(t)?)),
            _ => Err(format!("no such step here: {line}")),
        })
        .collect()
}

/// Runs the script on QEMU until its end or until `stop` is set.
pub fn run(
    config: &Config,
    net: &[String],
    script: &str,
    o: &Options,
    stop: &AtomicBool,
) -> Result<Run, String> {
    let mut qemu = Qemu::start(config, net)?;
    let until = Instant::now() + o.limit;
    let (mut run, mut seen) = (Run::default(), 0);
    for step in steps(script)? {
        match step {
            Step::Type(text) => {
                qemu.keyboard.write_all(text.as_bytes()).map_err(|e| format!("{PROGRAM}: {e}"))?;
            }
            Step::Wait(words) => loop {
                if let Some(at) = run.text[seen..].find(&words) {
                    seen += at + words.len();
                    break;
                }
                match qemu.screen.recv_timeout(Duration::from_millis(100)) {
                    Ok(bytes) => run.add(&bytes),
                    Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Ok(run),
                    Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                    Err(_) => return Err(format!("{PROGRAM}: no '{words}'; COM1:\n{}", run.tail())),
                }
            },
        }
    }
    Ok(run)
}
