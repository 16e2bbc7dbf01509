//! The test suite's command line. Each command is one oracle that is not our own code (DESIGN §9), or a tool that
//! needs none: see the module behind it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo run --release -p testsuite -- COMMAND ...

  captures DIR [--model 286|8086] [--engine E] [--limit N]   hardware captures (shared/vectors/README.md, part 1)
  flat DIR [--engine E] [--limit N]                          flat programs (shared/vectors/README.md, part 2)
  guests [NAME...] [--required] [--engine E] [--minutes N] [--jobs N] [--list]   real software from Debian's packages
  guests net [--mib N] [--peer]   those on the network: how much is copied, and throughput beside QEMU's
  oracle [--seed N] [--cases N] [--minutes N] [--engine E] [--only PREFIX] [--bits 32|64]
                     every encoding on the host's own processor
  inject [--seed N] [--cases N] [--engine E] [--only PREFIX]   the oracle's cases with their pages and limits spoilt
  fuzz NAME [--minutes N] [--seed N] [--rounds N] [--engine E] [--without PREFIX,...]
                     decode, single, program: random bytes, instructions and programs, against the host;
                     flags: programs about status flags, on two engines;
                     card, router, dhcp, dns, tftp: what a driver, a guest and the world do to the network;
                     commands, expressions, recordings, snapshots, scripts, packets: what a debugger is given
  instructions       the page docs/instructions.md, from the decoder
  sessions [--required]   a session at Linux's shell, run thrice and by the host's clock: same end, figures of idling
  recordings [--required] [--cycles N] [--seed N]
                     Linux recorded with live input and network and replayed, saved and loaded under load, in other processes
  lockstep [GUEST...] [--engines A,B] [--vary] [--every N] [--limit N] [--minutes N] [--seed N] [--no-narrow] [MACHINE WORDS]
                     a machine run twice, by two engines or (--vary) with TLB and blocks dropped at random moments
  speed DIR [--suite linux-amd64|linux-i386|bare] [--tests A,B] [--scale N] [--runs N] [--engines A,B] [--peer]
                     a built yardstick's programs on our engines, and beside QEMU and Bochs, in turns

Every command ends with a line `N passed, N failed, N skipped` and status 1 if anything failed.";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let result = match command.as_deref() {
        Some("captures") => testsuite::captures::command(&rest),
        Some("flat") => testsuite::flat::command(&rest),
        Some("guests") => testsuite::guests::command(&rest),
        Some("instructions") => {
            print!("{}", testsuite::instructions::page());
            return ExitCode::SUCCESS;
        }
        Some("inject") => testsuite::inject::command(&rest),
        Some("fuzz") => testsuite::fuzz::command(&rest),
        Some("oracle") => testsuite::oracle::command(&rest),
        Some("recordings") => testsuite::recordings::command(&rest),
        Some("sessions") => testsuite::sessions::command(&rest),
        Some("speed") => testsuite::speed::command(&rest),
        Some("lockstep") => testsuite::lockstep::command(&rest),
        Some("--help" | "help") => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => Err(HELP.into()),
    };
    match result {
        Ok(tally) => {
            println!("{tally}");
            if tally.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(e) => {
            eprintln!("testsuite: {e}");
            ExitCode::from(2)
        }
    }
}
