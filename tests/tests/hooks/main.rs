//! The hook table, what the preload exports, and docs/hooks.md say the same; and nothing about memory is forgotten.

/// Every function about memory is hooked, or left out for a reason.
mod complete;
/// docs/hooks.md, written from the table.
mod document;
/// The table against the exports of the built preload.
mod exports;
