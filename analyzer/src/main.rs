//! The `kvtrace` command.
fn main() {}
