//! Packages from Debian, by name: downloaded with the host's own `apt-get` from whatever archive it is set up for,
//! unpacked with `dpkg-deb`, kept in a cache outside the source tree (`LUCID86_CACHE`, else `XDG_CACHE_HOME/lucid86`,
//! else `~/.cache/lucid86`). Needs no root and changes nothing of the host's package state: the lists are private.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian's name of a package architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    #[allow(missing_docs)]
    Amd64,
    #[allow(missing_docs)]
    I386,
}

impl Arch {
    /// As Debian spells it.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::I386 => "i386",
        }
    }
}

/// Where fetched packages live.
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens (makes) the cache folder.
    pub fn open() -> Result<Cache, String> {
        let var = |n: &str| std::env::var_os(n).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = var("LUCID86_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|d| d.join("lucid86")))
            .or_else(|| var("HOME").map(|d| d.join(".cache/lucid86")))
            .ok_or("no place for a cache: set LUCID86_CACHE")?;
        std::fs::create_dir_all(&root).map_err(|e| format!("{}: {e}", root.display()))?;
        Ok(Cache { root })
    }

    /// A folder for what the suite makes out of packages.
    pub fn made(&self) -> Result<PathBuf, String> {
        let dir = self.root.join("made");
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(dir)
    }

    /// The unpacked tree of a package, fetched if it is not here yet.
    pub fn package(&self, name: &str, arch: Arch) -> Result<PathBuf, String> {
        let dir = self.root.join(format!("{name}_{}", arch.name()));
        if dir.join(".whole").is_file() {
            return Ok(dir);
        }
        let deb = self.download(name, arch)?;
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
        run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&dir))?;
        std::fs::write(dir.join(".whole"), b"").map_err(|e| e.to_string())?;
        let _ = std::fs::remove_file(deb);
        Ok(dir)
    }

    /// The package that a metapackage like `linux-image-cloud-amd64` stands for: its first dependency that starts with
    /// `prefix`.
    pub fn resolve(&self, meta: &str, prefix: &str, arch: Arch) -> Result<String, String> {
        let remembered = self.root.join(format!("{meta}.is"));
        if let Ok(name) = std::fs::read_to_string(&remembered) {
            return Ok(name);
        }
        self.lists(arch)?;
        let out = output(self.apt("apt-cache", arch).args(["depends", meta]))?;
        let name = out
            .lines()
            .filter_map(|l| l.trim().strip_prefix("Depends: "))
            .find(|d| d.starts_with(prefix))
            .ok_or(format!("{meta} depends on no {prefix}*"))?
            .to_owned();
        std::fs::write(remembered, &name).map_err(|e| e.to_string())?;
        Ok(name)
    }

    fn state(&self, arch: Arch) -> PathBuf {
        self.root.join(format!("apt-{}", arch.name()))
    }

    fn apt(&self, program: &str, arch: Arch) -> Command {
        let state = self.state(arch);
        let mut c = Command::new(program);
        for o in [
            "APT::Sandbox::User=root".to_owned(),
            format!("APT::Architecture={}", arch.name()),
            format!("APT::Architectures={}", arch.name()),
            format!("Dir::State::lists={}", state.join("lists").display()),
            format!("Dir::State::status={}", state.join("status").display()),
            format!("Dir::Cache={}", state.join("cache").display()),
            "Acquire::Retries=3".to_owned(),
        ] {
            c.arg("-o").arg(o);
        }
        c
    }

    /// Fetches the package lists once.
    fn lists(&self, arch: Arch) -> Result<(), String> {
        let state = self.state(arch);
        if state.join("fresh").is_file() {
            return Ok(());
        }
        for d in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(state.join(d)).map_err(|e| e.to_string())?;
        }
        std::fs::write(state.join("status"), b"").map_err(|e| e.to_string())?;
        // One archive of several without this architecture makes the whole update "fail": what counts is whether the
        // package then comes.
        let updated = run(self.apt("apt-get", arch).args(["-q", "-q", "update"]));
        let any =
            std::fs::read_dir(state.join("lists")).is_ok_and(|d| d.flatten().any(|e| e.path().is_file()));
        if !any {
            updated?;
        }
        std::fs::write(state.join("fresh"), b"").map_err(|e| e.to_string())
    }

    fn download(&self, name: &str, arch: Arch) -> Result<PathBuf, String> {
        self.lists(arch)?;
        let dir = self.root.join(format!("deb-{name}-{}", arch.name()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
        run(self.apt("apt-get", arch).current_dir(&dir).args(["-q", "-q", "download", name]))?;
        let mut debs = std::fs::read_dir(&dir).map_err(|e| e.to_string())?.flatten().map(|e| e.path());
        debs.find(|p| p.extension().is_some_and(|x| x == "deb")).ok_or(format!("no package {name} came"))
    }
}

/// The only file below `dir` whose name starts with `prefix`.
pub fn find(dir: &Path, prefix: &str) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut hits: Vec<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
        .collect();
    hits.sort();
    hits.into_iter().next().ok_or(format!("no {prefix}* in {}", dir.display()))
}

/// Reads a file, naming it in the error.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn run(c: &mut Command) -> Result<(), String> {
    output(c).map(drop)
}

fn output(c: &mut Command) -> Result<String, String> {
    let program = c.get_program().to_string_lossy().into_owned();
    let out = c.stdin(Stdio::null()).output().map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    Err(format!("{program}: {}", text.lines().next_back().unwrap_or("failed").trim()))
}
