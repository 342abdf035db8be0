//! The preload's own scanner of safetensors headers, compared with a real parser.

#[path = "../../../shim/src/weights/letters.rs"]
#[allow(dead_code, missing_docs, clippy::new_without_default, reason = "the preload's own file")]
mod letters;
#[path = "../../../shim/src/weights/safetensors.rs"]
#[allow(dead_code, missing_docs, reason = "the preload's own file")]
mod scanner;

use crate::bench;
use kvtrace_tests::run;
use proptest::prelude::*;
use scanner::Scanner;
use serde_json::Value;
use std::collections::BTreeMap;

type Told = (u64, BTreeMap<String, u64>);

/// What the scanner says, fed in pieces.
fn scanned(text: &[u8], room: u64, piece: usize) -> Option<Told> {
    let mut scanner = Scanner::new(room);
    text.chunks(piece.max(1)).all(|part| scanner.feed(part)).then_some(())?;
    let summary = scanner.finish()?;
    let dtypes = summary.dtypes().map(|(name, bytes)| (String::from_utf8_lossy(name).into_owned(), bytes)).collect();
    Some((summary.tensors, dtypes))
}

/// What a parser says; `None` for what is no header of the format.
fn parsed(text: &[u8], room: u64) -> Option<Told> {
    if text.first() != Some(&b'{') {
        return None;
    }
    let header: serde_json::Map<String, Value> = serde_json::from_slice(text).ok()?;
    let (mut tensors, mut dtypes, mut total) = (0, BTreeMap::new(), 0);
    for (name, tensor) in &header {
        tensor.as_object()?;
        if name == "__metadata__" {
            continue;
        }
        let dtype = tensor.get("dtype")?.as_str()?;
        let offsets = tensor.get("data_offsets")?.as_array()?;
        let [begin, end] = offsets.as_slice() else { return None };
        let (begin, end) = (begin.as_u64()?, end.as_u64()?);
        let bytes = end.checked_sub(begin).filter(|_| end <= room)?;
        let known = !dtype.is_empty() && dtype.len() <= 12 && dtype.bytes().all(|byte| byte.is_ascii_graphic());
        *dtypes.entry(if known { dtype } else { "other" }.to_owned()).or_insert(0) += bytes;
        total += bytes;
        tensors += 1;
    }
    if dtypes.get("other") == Some(&0) {
        dtypes.remove("other");
    }
    (total == room).then_some((tensors, dtypes))
}

fn names(text: &[u8]) -> Result<usize, String> {
    serde_json::from_slice::<serde_json::Map<String, Value>>(text)
        .map(|map| map.len())
        .map_err(|error| error.to_string())
}

/// Where the parser of the test is no judge: it takes the last of two that have one name, and refuses `1e999`.
fn is_special(text: &[u8], names_before: usize) -> bool {
    names(text).map_or_else(|error| error.contains("out of range"), |names| names < names_before)
}

/// A name as JSON, each letter perhaps escaped.
fn quoted(name: &str, escaped: u32) -> String {
    let mut out = String::from('"');
    for (at, c) in name.chars().enumerate() {
        match escaped >> (at % 32) & 1 {
            1 if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            _ => {
                let text = serde_json::to_string(&c.to_string()).unwrap();
                out.push_str(&text[1..text.len() - 1]);
            }
        }
    }
    out.push('"');
    out
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0.5e+3".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        "[a-z\\\\\"{}\\[\\]:,]{0,8}".prop_map(|text| quoted(&text, 0)),
        Just("\"dtype\"".to_owned()),
        Just("\"\\ud83d\\ude00\"".to_owned()),
        Just("{\"dtype\":\"F32\",\"data_offsets\":[0,4]}".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|list| format!("[{}]", list.join(" , "))),
            prop::collection::vec(("[a-z]{0,6}", inner), 0..3).prop_map(|list| {
                // The parser of the test takes the last of two alike; so does nobody who reads strictly.
                let map: BTreeMap<_, _> = list.into_iter().collect();
                let parts: Vec<_> = map.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", parts.join(","))
            }),
        ]
    })
}

/// A header that is one, with everything that the format allows in it.
fn header() -> impl Strategy<Value = (String, u64)> {
    let tensor =
        ("[a-zA-Z0-9_.\"\\\\é]{1,10}", "(F32|BF16|F8_E4M3|I64|U8)", 0u64..5000, any::<u32>(), json(), any::<bool>());
    (prop::collection::vec(tensor, 0..8), prop::option::of(json()), any::<u32>(), 0usize..3).prop_map(
        |(tensors, metadata, escaped, spaces)| {
            let space = " ".repeat(spaces);
            let (mut parts, mut at) = (Vec::new(), 0);
            if let Some(inner) = metadata {
                let fake = "\"dtype\":\"F64\",\"data_offsets\":[0,8]";
                parts.push(format!("{}:{space}{{{fake},\"x\":{inner}}}", quoted("__metadata__", escaped)));
            }
            for (number, (name, dtype, bytes, escaped, extra, first)) in tensors.into_iter().enumerate() {
                let dtype = format!("{}{space}:{}", quoted("dtype", escaped), quoted(&dtype, escaped >> 7));
                let end = at + bytes;
                let offsets = format!("{}:[{space}{at},{end}{space}]", quoted("data_offsets", escaped >> 3));
                let fields = if first { [dtype, offsets] } else { [offsets, dtype] };
                let extra =
                    if number % 2 == 0 { format!(",\"shape\":[1]{space}") } else { format!(",\"more\":{extra}") };
                parts.push(format!("{}:{{{}{extra}}}", quoted(&format!("{number}{name}"), escaped), fields.join(",")));
                at = end;
            }
            (format!("{{{}}}{}", parts.join(&format!("{space},")), " ".repeat(spaces * 3)), at)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_header_is_read_as_a_parser_reads_it((text, room) in header(), piece in 1usize..50) {
        let wanted = parsed(text.as_bytes(), room);
        prop_assert!(wanted.is_some(), "{text}");
        prop_assert_eq!(scanned(text.as_bytes(), room, piece), wanted, "{}", text);
        prop_assert_eq!(scanned(text.as_bytes(), room + 1, piece), None);
    }

    /// One byte is another, is gone, or the end is missing.
    #[test]
    fn a_broken_header_gives_what_a_parser_gives_or_nothing((text, room) in header(), at: prop::sample::Index,
                                                            kind in 0u8..3, byte: u8) {
        let whole = names(text.as_bytes()).unwrap();
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        let found = scanned(&bytes, room, 7);
        if found.is_some() && !is_special(&bytes, whole) {
            prop_assert_eq!(found, parsed(&bytes, room), "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn any_bytes_give_no_more_than_a_parser_finds(bytes: Vec<u8>, room in 0u64..4) {
        let found = scanned(&bytes, room, 3);
        prop_assert!(found.is_none() || found == parsed(&bytes, room));
    }
}

/// The whole way: files that a program opens.
#[test]
fn hostile_files_end_nobody_and_claim_nothing() {
    let bench = bench();
    let with = |length: u64, text: &[u8]| [&length.to_le_bytes(), text].concat();
    let whole = |text: &str| with(text.len() as u64, text.as_bytes());
    let good = r#"{"__metadata__":{"dtype":"F64","data_offsets":"[0,4]"},"a":{"dtype":"F32","data_offsets":[0,4]}}"#;
    let deep =
        format!("{{\"a\":{{\"x\":{}{},\"dtype\":\"F32\",\"data_offsets\":[0,4]}}}}", "[".repeat(100), "]".repeat(100));
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("short", vec![1, 2, 3]),
        ("huge", with(u64::MAX, b"{}")),
        ("larger", with(100, b"{}")),
        ("over-the-bound", with((16 << 20) + 1, &vec![b' '; (16 << 20) + 1])),
        ("no-object", whole("[1]xxxx")),
        ("deep", [whole(&deep), vec![0; 4]].concat()),
        ("cut", [with(40, &good.as_bytes()[..40]), vec![0; 4]].concat()),
        ("open-text", [whole(r#"{"a":{"dtype":"F32\"#), vec![0; 4]].concat()),
        ("overlapping", [whole(&good.replace("[0,4]}}", "[0,40]}}")), vec![0; 4]].concat()),
        ("backwards", [whole(&good.replace("[0,4]}}", "[4,0]}}")), vec![0; 4]].concat()),
        (
            "twice",
            [whole(&good.replace("\"dtype\":\"F32\"", "\"dtype\":\"F32\",\"dtype\":\"F16\"")), vec![0; 4]].concat(),
        ),
        ("overflow", [whole(&good.replace("[0,4]}}", "[0,99999999999999999999]}}")), vec![0; 4]].concat()),
    ];
    files.push(("good", [whole(good), vec![0; 4]].concat()));
    let mut arguments = vec!["query".to_owned()];
    for (name, content) in &files {
        let path = format!("{name}.safetensors");
        std::fs::write(bench.path(&path), content).unwrap();
        arguments.extend(["open".to_owned(), path]);
    }
    run(bench.traced(crate::steps(&bench)).args(arguments));
    let trace = bench.trace();
    let told = trace.events("weights");
    assert_eq!(told.len(), files.len());
    for (event, (name, content)) in told.iter().zip(&files) {
        assert_eq!(event["size"], content.len() as u64, "{name}");
        assert_eq!(event.get("dtypes").is_some(), *name == "good", "{event}");
    }
    let last = told.last().unwrap();
    assert_eq!((&last["dtypes"], &last["tensors"]), (&serde_json::json!({"F32": 4}), &1.into()));
    let digest = good
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    assert_eq!(last["header"], format!("{digest:#x}"));
}
