//! Counting what passed, and the closing line that every command prints.

use std::fmt;

/// Counts of one command's cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that did what the oracle says.
    pub passed: u64,
    /// Cases that did not.
    pub failed: u64,
    /// Cases that could not run here; each was named when it was skipped.
    pub skipped: u64,
}

/// Why a case did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What it is made of could not be had here.
    Missing(String),
    /// It did not do what it must.
    Run(String),
}

impl From<String> for Failure {
    fn from(e: String) -> Failure {
        Failure::Run(e)
    }
}

impl From<Failure> for String {
    fn from(f: Failure) -> String {
        match f {
            Failure::Missing(e) | Failure::Run(e) => e,
        }
    }
}

impl Tally {
    /// Counts a case and says what came of it. What is `required` may not be skipped.
    pub fn case(&mut self, name: &str, required: bool, result: Result<String, Failure>) {
        match result {
            Ok(said) => {
                self.passed += 1;
                println!("{name}: {said}");
            }
            Err(Failure::Missing(e)) if !required => {
                self.skipped += 1;
                println!("{name}: skipped: {e}");
            }
            Err(Failure::Missing(e) | Failure::Run(e)) => {
                self.failed += 1;
                println!("{name}: FAILED: {e}");
            }
        }
    }

    /// What is to be run on, or, unless it is `required`, a tally of `cases` that were skipped for want of it.
    pub fn or_skip<T>(
        made: Result<T, String>,
        required: bool,
        cases: u64,
    ) -> Result<Result<T, Tally>, String> {
        match made {
            Ok(v) => Ok(Ok(v)),
            Err(e) if !required => {
                println!("skipped: {e}");
                Ok(Err(Tally { skipped: cases, ..Tally::default() }))
            }
            Err(e) => Err(e),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, o: Tally) {
        self.passed += o.passed;
        self.failed += o.failed;
        self.skipped += o.skipped;
    }
}

/// Options that the two vector commands share.
#[derive(Debug, Clone)]
pub struct VectorOptions {
    /// The folder to run.
    pub dir: std::path::PathBuf,
    /// Only this processor's captures.
    pub model: Option<String>,
    /// Who runs the code.
    pub engine: lucid86_cpu::derived::Engine,
    /// At most this many failing cases are printed.
    pub limit: u64,
}

impl VectorOptions {
    /// Reads `DIR [--model M] [--engine E] [--limit N]`.
    pub fn parse(args: &[String]) -> Result<VectorOptions, String> {
        use lexopt::prelude::*;
        let mut o =
            VectorOptions { dir: Default::default(), model: None, engine: Default::default(), limit: 40 };
        let mut p = lexopt::Parser::from_args(args);
        let text = |p: &mut lexopt::Parser| p.value().and_then(|v| v.string()).map_err(|e| e.to_string());
        while let Some(arg) = p.next().map_err(|e| e.to_string())? {
            match arg {
                Long("model") => o.model = Some(text(&mut p)?),
                Long("engine") => {
                    let word = text(&mut p)?;
                    o.engine = lucid86_cpu::derived::Engine::parse(&word)
                        .ok_or(format!("--engine: '{word}' is not interpreter, translator or auto"))?;
                }
                Long("limit") => o.limit = text(&mut p)?.parse().map_err(|_| "--limit takes a number")?,
                Value(v) if o.dir.as_os_str().is_empty() => o.dir = v.into(),
                other => return Err(other.unexpected().to_string()),
            }
        }
        if !o.dir.is_dir() {
            return Err(format!("'{}' is not a folder of test vectors", o.dir.display()));
        }
        Ok(o)
    }
}
