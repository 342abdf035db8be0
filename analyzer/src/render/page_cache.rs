//! Whose pages the page cache held, as a sentence and a table.

use super::show::file_name;
use super::{Cell, Section, gib};
use crate::page_cache::{CachedAt, CachedFile, PageCache};
use crate::show::Show;

const SHOWN_FILES: usize = 24;

/// `46.10 GiB of the 49.00 GiB page cache at 7:12 are these 15 safetensors files, opened by process 7.`
pub fn sentences(show: &Show) -> Vec<String> {
    let Some(cache) = show.page_caches.first() else { return Vec::new() };
    let whole = gib(cache.total_bytes.into());
    let mut sentences = Vec::new();
    if cache.weights_bytes > 0 {
        let files: Vec<&CachedFile> = cache.files.iter().filter(|file| bytes(file.now.as_ref()) > 0).collect();
        let mut formats: Vec<_> = files.iter().map(|file| file.format.as_str()).collect();
        formats.sort_unstable();
        formats.dedup();
        let mut readers: Vec<u32> = files.iter().flat_map(|file| file.opened_by.iter().copied()).collect();
        readers.sort_unstable();
        readers.dedup();
        let readers: Vec<_> = readers.iter().map(u32::to_string).collect();
        let (are, file) = if files.len() == 1 { ("is this", "file") } else { ("are these", "files") };
        let number = if files.len() == 1 { String::new() } else { format!("{} ", files.len()) };
        let mut text = format!(
            "{} of the {whole} page cache at {} {are} {number}{} {file}, opened by process {}",
            gib(cache.weights_bytes.into()),
            cache.of,
            formats.join(" and "),
            readers.join(", "),
        );
        // What was there before the opening was brought in by somebody else.
        let early = files.iter().map(|file| Some(file.at_open.as_ref()?.cached_bytes.min(bytes(file.now.as_ref()))));
        if let Some(early) = early.sum::<Option<u64>>() {
            text.push_str(&match early {
                0 => ", none of it before".to_owned(),
                early => format!(", {} of it before", gib(early.into())),
            });
            text.push_str(if files.len() == 1 { " it was opened" } else { " they were opened" });
        }
        if let Some(group) = &cache.libraries {
            text.push_str(&format!(
                "; {} are {} other files that it has mapped",
                gib(group.cached_bytes.into()),
                group.files
            ));
        }
        sentences.push(text + ".");
    }
    sentences.extend(cache.notes.iter().map(|note| format!("Page cache at {}: {note}.", cache.of)));
    sentences
}

fn bytes(at: Option<&CachedAt>) -> u64 {
    at.map_or(0, |at| at.cached_bytes)
}

pub fn sections(show: &Show) -> Vec<Section> {
    show.page_caches.iter().map(section).collect()
}

fn section(cache: &PageCache) -> Section {
    let figure = |at: Option<&CachedAt>| at.map_or(Cell::Empty, |at| Cell::Bytes(at.cached_bytes.into()));
    let mut rows = Vec::new();
    for file in cache.files.iter().take(SHOWN_FILES) {
        let readers: Vec<_> = file.opened_by.iter().map(u32::to_string).collect();
        let evidence = [&file.at_open, &file.before, &file.now].into_iter().flatten();
        let mut evidence: Vec<_> = evidence.map(|at| at.evidence.clone()).collect();
        evidence.dedup();
        rows.push(vec![
            Cell::Text(file_name(&file.path).into()),
            Cell::Bytes(file.size_bytes.into()),
            figure(file.at_open.as_ref()),
            figure(file.before.as_ref()),
            figure(file.now.as_ref()),
            Cell::Text(readers.join(" ")),
            Cell::Text(evidence.join(" ")),
        ]);
    }
    let mut part = |name: String, size: Cell, bytes: u64, evidence: &str| {
        let now = Cell::Bytes(bytes.into());
        let (reader, evidence) = (Cell::Text(String::new()), Cell::Text(evidence.into()));
        rows.push(vec![Cell::Text(name), size, Cell::Empty, Cell::Empty, now, reader, evidence]);
    };
    if cache.files.len() > SHOWN_FILES {
        let rest = cache.files.iter().skip(SHOWN_FILES);
        let sum = rest.fold(0u64, |sum, file| sum.saturating_add(bytes(file.now.as_ref())));
        part(format!("{} more files of weights", cache.files.len() - SHOWN_FILES), Cell::Empty, sum, "");
    }
    if cache.files.len() > 1 {
        let evidence = cache.weights_evidence.as_deref().unwrap_or_default();
        let size = Cell::Bytes(cache.weights_size_bytes.into());
        part("all of these".into(), size, cache.weights_bytes, evidence);
    }
    if let Some(group) = &cache.libraries {
        let name = format!("{} other mapped files", group.files);
        part(name, Cell::Bytes(group.size_bytes.into()), group.cached_bytes, &group.evidence);
    }
    part("shared memory (tmpfs)".into(), Cell::Empty, cache.shared_bytes, &cache.evidence);
    part("buffers".into(), Cell::Empty, cache.buffers_bytes, &cache.evidence);
    part("other files".into(), Cell::Empty, cache.other_bytes, "");
    part("page cache".into(), Cell::Empty, cache.total_bytes, &cache.evidence);
    Section {
        title: format!("Page cache at {}: whose pages it held", cache.of),
        columns: vec!["file", "size", "at open", "query before", "at query", "opened by", "evidence"],
        rows,
    }
}
