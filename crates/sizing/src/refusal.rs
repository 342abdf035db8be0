//! Why a rule gives no figure.

use std::fmt;

/// What a rule does not cover. The text is for the person who gave the figures.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// A size that divides is zero.
    Zero(&'static str),
    /// The runtime takes no such fraction.
    Fraction(f64),
    /// More is free than there is, in bytes.
    FreeAboveTotal {
        /// Free bytes.
        free: u64,
        /// Total bytes.
        total: u64,
    },
    /// The runtime ends at start-up: less is free than it would claim, in bytes.
    Startup {
        /// Free bytes at the first snapshot.
        free: u64,
        /// Bytes that the fraction asks for.
        requested: u64,
    },
    /// The runtime ends: free memory rose while it profiled, by so many bytes.
    FreeRose(u64),
    /// A figure is larger than 2^64 - 1.
    Overflow,
    /// A needed figure is missing: its name.
    Missing(&'static str),
    /// The rule for this is not known: what.
    Unknown(String),
    /// The text is no configuration: why.
    Text(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Zero(name) => write!(to, "{name} is zero"),
            Refusal::Fraction(fraction) => write!(to, "{fraction} is no fraction that the runtime accepts"),
            Refusal::FreeAboveTotal { free, total } => write!(to, "{free} bytes are free of {total} in total"),
            Refusal::Startup { free, requested } => {
                write!(to, "the runtime refuses to start: {free} bytes are free, it asks for {requested}")
            }
            Refusal::FreeRose(by) => {
                write!(to, "the runtime refuses to go on: free memory rose by {by} bytes while it profiled")
            }
            Refusal::Overflow => to.write_str("a size is larger than 2^64 bytes"),
            Refusal::Missing(name) => write!(to, "{name} is missing"),
            Refusal::Unknown(what) => write!(to, "no rule is known: {what}"),
            Refusal::Text(why) => write!(to, "not a model configuration: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}
