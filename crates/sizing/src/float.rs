//! The float operations that runtimes do on sizes, and the fractions that explain a size.

use std::ops::RangeInclusive;

/// `fraction` of `bytes`, rounded down: an integer times a Python float, then `int()` (alike from zero up).
pub fn share(fraction: f64, bytes: i128) -> i128 {
    (fraction * bytes as f64).floor() as i128
}

/// A [`share`] as a size: 0 where nothing is left.
pub fn share_bytes(fraction: f64, bytes: i128) -> u64 {
    share(fraction, bytes).clamp(0, u64::MAX.into()) as u64
}

/// Python's `//` on floats: the remainder is exact, so that a quotient just below an integer is not rounded up to it.
pub fn floor_div(dividend: f64, divisor: f64) -> f64 {
    let remainder = dividend % divisor;
    let mut quotient = (dividend - remainder) / divisor;
    if remainder != 0.0 && (divisor < 0.0) != (remainder < 0.0) {
        quotient -= 1.0;
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

/// What becomes of a fraction that passes through a 32-bit float: 0.9 comes out as 0.8999999761581421.
pub fn narrowed(fraction: f64) -> f64 {
    f64::from(fraction as f32)
}

/// All fractions from `least` to `most`, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fractions {
    /// The smallest.
    pub least: f64,
    /// The largest; at most 1.
    pub most: f64,
}

impl Fractions {
    /// The fractions from 0 to 1 for which `rule` gives one of `sizes`, to the last bit; `None` if there are none.
    /// `rule` must not fall where the fraction grows.
    pub fn explaining(sizes: RangeInclusive<u64>, rule: impl Fn(f64) -> u64) -> Option<Fractions> {
        let (least_size, most_size) = sizes.into_inner();
        // From 0 up, the bits of a float are in the order of its values.
        let first = |wanted: &dyn Fn(u64) -> bool| {
            let (mut low, mut high) = (0, 1.0f64.to_bits() + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                if wanted(rule(f64::from_bits(middle))) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            low
        };
        let least = first(&|size| size >= least_size);
        let beyond = first(&|size| size > most_size);
        let found = least < beyond;
        found.then(|| Fractions { least: f64::from_bits(least), most: f64::from_bits(beyond - 1) })
    }

    /// Whether `fraction` is among them.
    pub fn contain(&self, fraction: f64) -> bool {
        (self.least..=self.most).contains(&fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_does() {
        assert_eq!(narrowed(0.9).to_string(), "0.8999999761581421");
        assert_eq!((share(0.9, 10), share(0.9, -5), share_bytes(0.9, -5)), (9, -5, 0));
        assert_eq!((floor_div(7.0, 2.0), floor_div(-7.0, 2.0), floor_div(0.0, 3.0)), (3.0, -4.0, 0.0));
        // 1 / 0.1 rounds to 10, but the tenth tenth does not fit.
        assert_eq!((floor_div(1.0, 0.1), (1.0f64 / 0.1).floor()), (9.0, 10.0));
        assert!(floor_div(1.0, 0.0).is_nan());
    }

    #[test]
    fn fractions_that_explain() {
        let rule = |fraction| share_bytes(fraction, 1000) / 100 * 100;
        let found = Fractions::explaining(700..=700, rule).unwrap();
        assert!(found.contain(0.7) && found.contain(0.79999) && !found.contain(0.8) && !found.contain(0.69999));
        assert_eq!(found.least, 0.7);
        assert_eq!(Fractions::explaining(650..=699, rule), None);
        assert_eq!(Fractions::explaining(2000..=3000, rule), None);
        assert_eq!(Fractions::explaining(0..=u64::MAX, rule), Some(Fractions { least: 0.0, most: 1.0 }));
        assert_eq!(Fractions::explaining(5..=5, |_| 5), Some(Fractions { least: 0.0, most: 1.0 }));
    }
}
