//! The Python stack of every query, compared with what Python itself says for the very same call, on every CPython that
//! `scripts/python-versions` finds.

mod compare;
mod others;
mod stacks;
mod versions;
