//! End-to-end tests of kvtrace.
