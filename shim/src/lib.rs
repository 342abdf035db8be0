//! `libkvtrace.so`: logs what a serving runtime asks about memory, and what it takes.
