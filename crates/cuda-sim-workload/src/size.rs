//! Sizes as people write them.

use kvtrace_sizing::GIB;

/// Parses `4096`, `256MiB`, `1.5GiB` or `15GB`.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => GIB,
        "t" | "tib" => GIB << 10,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("unknown unit in {text:?}; write bytes, or KiB, MiB, GiB, KB, MB, GB")),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).ok_or_else(|| format!("{text:?} is more than 2^64 bytes"));
    }
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() && value * (scale as f64) < u64::MAX as f64 => {
            Ok((value * scale as f64).round() as u64)
        }
        _ => Err(format!("{text:?} is not a size; write for example 512MiB")),
    }
}

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
    fn units() {
        let of = |text| parse(text).unwrap();
        assert_eq!((of("0"), of("4096"), of("256MiB"), of("1.5 GiB")), (0, 4096, 256 << 20, 3 * GIB / 2));
        assert_eq!((of("2k"), of("1tib"), of("15GB")), (2048, 1 << 40, 15_000_000_000));
        assert_eq!(of("18446744073709551615"), u64::MAX);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "GiB", "-1", "1.2.3", "5 apples", "99999999TiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shown() {
        assert_eq!((show(3 << 20), show(GIB)), ("3.0 MiB".into(), "1.00 GiB".into()));
    }
}
