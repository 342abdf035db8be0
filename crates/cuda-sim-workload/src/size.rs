//! Sizes as people read them.

use kvtrace_sizing::GIB;
pub use kvtrace_sizing::units::parse_bytes as parse;

/// A size for reading: GiB from one GiB on, else MiB.
pub fn show(bytes: u64) -> String {
    if bytes >= GIB { format!("{:.2} GiB", gib(bytes)) } else { format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64) }
}

/// Bytes in GiB.
pub fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown() {
        assert_eq!((show(3 << 20), show(GIB)), ("3.0 MiB".into(), "1.00 GiB".into()));
    }
}
