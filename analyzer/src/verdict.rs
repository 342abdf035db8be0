//! What the evidence says about an explanation.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    #[serde(rename = "supported")]
    Supported,
    #[serde(rename = "refuted")]
    Refuted,
    #[serde(rename = "cannot tell")]
    CannotTell,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::Refuted => "refuted",
            Verdict::CannotTell => "cannot tell",
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Hypothesis {
    pub name: String,
    pub verdict: Verdict,
    pub because: String,
}

impl Hypothesis {
    pub fn new(name: impl Into<String>, verdict: Verdict, because: impl Into<String>) -> Self {
        Hypothesis { name: name.into(), verdict, because: because.into() }
    }
}
