//! Sizes as people write them.

use crate::GIB;

/// Parses `4096`, `256MiB`, `1.5GiB` or `15GB`.
///
/// # Errors
/// A sentence for the user, if it is no size or more than 2^64 bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let no_size = || format!("{text:?} is not a size; write for example 512MiB");
    if number.is_empty() {
        return Err(no_size());
    }
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
        _ => Err(no_size()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let of = |text| parse_bytes(text).unwrap();
        assert_eq!((of("0"), of("4096"), of("256MiB"), of("1.5 GiB")), (0, 4096, 256 << 20, 3 * GIB / 2));
        assert_eq!((of("2k"), of("1tib"), of("15GB")), (2048, 1 << 40, 15_000_000_000));
        assert_eq!(of("18446744073709551615"), u64::MAX);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "GiB", "-1", "1.2.3", "5 apples", "99999999TiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
