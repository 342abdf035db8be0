//! What a command ends with when it does not answer: one line, a hint, an exit code.

use kvtrace_trace::read::ReadError;
use std::process::ExitCode;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The system or kvtrace itself failed.
    Internal = 1,
    /// The arguments or the input are not what they should be.
    Input = 2,
    /// The trace is readable and holds no answer.
    NoAnswer = 3,
}

/// An error as the user sees it.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    pub hint: String,
}

impl Failure {
    pub fn input(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure { kind: Kind::Input, message: message.into(), hint: hint.into() }
    }

    pub fn no_answer(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure { kind: Kind::NoAnswer, message: message.into(), hint: hint.into() }
    }

    pub fn internal(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure { kind: Kind::Internal, message: message.into(), hint: hint.into() }
    }

    /// Prints the two lines and gives the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("kvtrace: {}", crate::render::escape::terminal(&self.message));
        if !self.hint.is_empty() {
            eprintln!("hint: {}", crate::render::escape::terminal(&self.hint));
        }
        ExitCode::from(self.kind as u8)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let hint = match &error {
            ReadError::Io { .. } => "check that the path exists and may be read",
            ReadError::OtherSchema { .. } => "read it with the kvtrace that wrote it, or a newer one",
            _ => "give the directory that `kvtrace run -o DIR` or KVTRACE_OUT named",
        };
        Failure::input(error.to_string(), hint)
    }
}

impl From<polars::error::PolarsError> for Failure {
    fn from(error: polars::error::PolarsError) -> Self {
        Failure::internal(
            format!("a table could not be built: {error}"),
            "this is a fault in kvtrace, please report it",
        )
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::internal(error.to_string(), "")
    }
}
