//! One thing that was looked at: what was found, why it matters, what to do.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// How a finding is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Good to know: tracing works, but sizing may be biased or the trace be short of something.
    Note,
    /// Prevents tracing.
    Problem,
    /// Could not be found out here.
    Unknown,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Note => "note",
            State::Problem => "problem",
            State::Unknown => "unknown",
        }
    }
}

/// Its names are stable: bug reports hold them.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// `group.name`.
    pub check: &'static str,
    pub state: State,
    /// In words; may hold names from the program or the environment.
    pub found: String,
    /// Why it matters, in one sentence; empty if it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do, as a command where there is one.
    #[serde(rename = "do", skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Exact figures; those whose name ends in `_bytes` are bytes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<&'static str, Value>,
}

impl Finding {
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, State::Ok, found, "", "")
    }

    pub fn note(
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, State::Note, found, why, remedy)
    }

    pub fn problem(
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, State::Problem, found, why, remedy)
    }

    pub fn unknown(check: &'static str, found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(check, State::Unknown, found, why, "")
    }

    fn new(
        check: &'static str,
        state: State,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (found, why, remedy) = (found.into(), why.into(), remedy.into());
        Finding { check, state, found, why, remedy, figures: BTreeMap::new() }
    }

    /// Adds a figure.
    pub fn with(mut self, name: &'static str, figure: impl Into<Value>) -> Self {
        self.figures.insert(name, figure.into());
        self
    }
}
