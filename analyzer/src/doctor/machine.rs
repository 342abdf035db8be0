//! The files by which a kernel describes a machine, below a root that tests may replace.

use std::io;
use std::path::{Path, PathBuf};

/// Larger ones are none of those that are looked at.
const MOST_BYTES: u64 = 4 << 20;

/// Where the files are.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// This machine, as this process sees it.
    pub fn here() -> Self {
        Machine { root: PathBuf::from("/") }
    }

    /// A folder of files that stands for a machine.
    #[cfg(test)]
    pub fn below(root: &Path) -> Self {
        Machine { root: root.to_owned() }
    }

    /// Where a file of the machine is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file; what is not UTF-8 in it is replaced.
    pub fn text(&self, path: &str) -> io::Result<String> {
        use io::Read;
        let mut bytes = Vec::new();
        std::fs::File::open(self.path(path))?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file that holds one number.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path).ok()?.trim().parse().ok()
    }

    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// /proc/meminfo.
    pub fn meminfo(&self) -> io::Result<Meminfo> {
        self.text("/proc/meminfo").map(|text| Meminfo { text })
    }
}

/// /proc/meminfo.
#[derive(Debug)]
pub struct Meminfo {
    text: String,
}

impl Meminfo {
    /// A field in bytes, or as it stands if it has no unit; absent if this kernel has no such field.
    pub fn get(&self, field: &str) -> Option<u64> {
        let mut line =
            self.text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?.split_whitespace();
        let number: u64 = line.next()?.parse().ok()?;
        match line.next() {
            Some("kB") => number.checked_mul(1024),
            _ => Some(number),
        }
    }

    /// The same, 0 if it is absent.
    pub fn or_zero(&self, field: &str) -> u64 {
        self.get(field).unwrap_or(0)
    }
}

/// A path for people.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Bytes for people: limits of some MiB are no hundredths of a GiB.
pub fn gib(bytes: u64) -> String {
    match bytes {
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => crate::render::gib(i128::from(bytes)),
    }
}
