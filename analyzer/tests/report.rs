//! `kvtrace report`: the page has the figures of the commands, asks for nothing, and lets nothing of a trace through.

mod support;

use kvtrace_sizing::GIB;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use support::{CUDART, File, Scenario, kvtrace, write};

const MOST_BYTES: usize = 3 << 20;
/// Script, markup, terminal control, a mark that turns the order of letters round.
const HOSTILE: &str = "<script>hacked()</script>\"'><img src=x onerror=hacked()>\u{1b}[31m\u{202e}";

fn report(home: &Path, inputs: &[&str]) -> String {
    let mut arguments = vec!["report"];
    arguments.extend(inputs);
    arguments.extend(["-o", "out.html"]);
    let (code, out, error) = kvtrace(home, &arguments);
    assert_eq!((code, out.as_str(), error.as_str()), (0, "", ""), "{inputs:?}");
    let page = std::fs::read_to_string(home.join("out.html")).unwrap();
    assert!(page.len() < MOST_BYTES, "{}", page.len());
    page
}

fn answer(home: &Path, arguments: &[&str]) -> Value {
    let (code, out, error) = kvtrace(home, &[arguments, &["--format", "json"]].concat());
    assert_eq!((code, error.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

/// `(value, place)` of every figure; the place is empty where the page names none.
fn figures(page: &str) -> Vec<(&str, &str)> {
    let attribute = |tag: &'_ str, name: &str| -> Option<(usize, usize)> {
        let at = tag.find(&format!(" {name}=\""))? + name.len() + 3;
        Some((at, at + tag[at..].find('"')?))
    };
    let tags = page.split("<data").skip(1).map(|rest| rest.split('>').next().unwrap());
    tags.map(|tag| {
        let part = |name| attribute(tag, name).map_or("", |(from, to)| &tag[from..to]);
        (part("value"), part("data-json"))
    })
    .collect()
}

/// Every integer of an answer, the small ones left out that anything equals.
fn integers(value: &Value, list: &mut BTreeSet<String>) {
    match value {
        Value::Number(number) => {
            list.insert(number.to_string());
        }
        Value::Array(items) => items.iter().for_each(|item| integers(item, list)),
        Value::Object(fields) => fields.values().for_each(|item| integers(item, list)),
        _ => {}
    }
}

/// Compares each figure of a page with the answers; says how many it found by their places.
fn compare(page: &str, answers: &BTreeMap<&str, Value>) -> usize {
    let mut known = BTreeSet::new();
    answers.values().for_each(|answer| integers(answer, &mut known));
    let mut placed = 0;
    for (value, place) in figures(page) {
        let Some((name, _)) = place.split_once('/') else {
            assert!(known.contains(value) || value.parse::<f64>().is_ok_and(|value| value.fract() != 0.0), "{value}");
            continue;
        };
        let found = answers[name].pointer(&place[name.len()..]).unwrap_or_else(|| panic!("{place}"));
        let same = match found.as_i64() {
            Some(integer) => value == integer.to_string(),
            None => (value.parse::<f64>().unwrap() - found.as_f64().unwrap()).abs() < 1e-12,
        };
        assert!(same, "{place}: {value} on the page, {found} in the answer");
        placed += 1;
    }
    placed
}

fn pair(home: &Path) {
    write(&Scenario::default(), &home.join("host"));
    let other = Scenario { label: "container", page_cache: 26 * GIB, anonymous: 4 * GIB, ..Scenario::default() };
    write(&other, &home.join("container"));
}

#[test]
fn every_figure_is_that_of_the_command() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    pair(home);
    let show = |name| answer(home, &["show", name]);
    let placed = compare(&report(home, &["host"]), &[("show", show("host"))].into());
    assert!(placed > 25, "{placed}");

    let diff = answer(home, &["diff", "host", "container"]);
    let answers = [("diff", diff), ("show-a", show("host")), ("show-b", show("container"))].into();
    let placed = compare(&report(home, &["host", "container"]), &answers);
    assert!(placed > 90, "{placed}");
}

#[test]
fn every_figure_of_many_runs_too() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut inputs = Vec::new();
    for (side, base) in [("native", 5), ("container", 20)] {
        for run in 0..6 {
            let scenario = Scenario { label: side, page_cache: (base + run) * GIB, ..Scenario::default() };
            write(&scenario, &home.join(side).join(run.to_string()));
            inputs.push(format!("{side}/{run}"));
        }
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let fit = answer(home, &[&["fit"], inputs.as_slice()].concat());
    let page = report(home, &["native", "container"]);
    let diff = answer(home, &["diff", "native", "container"]);
    let placed = compare(&page, &[("diff", diff), ("fit", fit.clone())].into());
    assert!(placed > 70, "{placed}");
    assert_eq!(page.matches("class=\"s0\"").count(), 7, "six points of A and one in the legend");

    let page = report(home, &inputs);
    assert!(compare(&page, &[("fit", fit)].into()) > 35);
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/spark.csv"), home.join("spark.csv")).unwrap();
    let page = report(home, &["spark.csv"]);
    assert!(compare(&page, &[("fit", answer(home, &["fit", "spark.csv"]))].into()) > 18);
    assert!(!text(&page).contains("imulated"), "published figures are no simulation");
}

#[test]
fn what_the_pages_say() {
    let home = tempfile::tempdir().unwrap();
    pair(home.path());
    insta::assert_snapshot!("report_one", text(&report(home.path(), &["host"])));
    insta::assert_snapshot!("report_two", text(&report(home.path(), &["host", "container"])));
}

/// As a screen reader goes through it: what stands in one block stands on one line.
fn text(page: &str) -> String {
    let body = page.split("</head>").nth(1).unwrap();
    let mut lines: Vec<String> = vec![String::new()];
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        let block = [
            "tr", "p", "li", "h1", "h2", "h3", "caption", "summary", "pre", "section", "div", "title", "desc", "table",
        ];
        let name = tag.trim_start_matches('/').split(' ').next().unwrap();
        if block.contains(&name) {
            lines.push(String::new());
        }
        let line = lines.last_mut().unwrap();
        if ["td", "th", "dd", "dt"].contains(&name) && !tag.starts_with('/') && !line.is_empty() {
            line.push_str(" | ");
        }
        line.push_str(text);
    }
    let lines = lines.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn a_simulation_says_so_first() {
    let home = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let scenario = Scenario { device: "kvtrace simulated GB10", ..Scenario::default() };
        write(&scenario, &home.path().join("runs").join(name));
    }
    write(&Scenario { page_cache: 9 * GIB, device: "simulated", ..Scenario::default() }, &home.path().join("c"));
    for inputs in [&["runs/a"][..], &["runs/a", "runs/b"], &["runs", "c"], &["runs/a", "runs/b", "c"]] {
        let page = report(home.path(), inputs);
        assert!(page.contains("<title>simulated: "), "{inputs:?}");
        let first = text(&page).lines().nth(1).unwrap().to_owned();
        assert!(first.starts_with("Simulated. "), "{inputs:?}: {first}");
    }
}

#[test]
fn strings_of_the_program_stay_strings() {
    let home = tempfile::tempdir().unwrap();
    let name = home.path().join("run");
    let scenario = Scenario { device: HOSTILE, cgroup_path: HOSTILE, host: HOSTILE, ..Scenario::default() };
    write(&scenario, &name);
    let hostile = HOSTILE.as_bytes();
    let mut other = File::new(99, 4242, "program", HOSTILE, HOSTILE, HOSTILE, &[hostile, hostile]);
    other.alloc("device", hostile, 0x10, 1 << 20);
    other.query(&scenario, 5 << 30, 1 << 30);
    other.save(&name);
    write(&Scenario { label: "</title><script>hacked()</script>", ..scenario }, &home.path().join("other"));
    for inputs in [&["run"][..], &["run", "other"]] {
        let page = report(home.path(), inputs);
        assert!(page.contains("&lt;script&gt;hacked()"), "the strings are there");
        for bad in ["<script", "<img", "\u{1b}", "\u{202e}", "onerror=hacked()>"] {
            assert!(!page.contains(bad), "{bad:?}");
        }
        assert_eq!(page.matches("</title>").count(), page.matches("<title").count());
    }
}

#[test]
fn it_asks_for_nothing() {
    let home = tempfile::tempdir().unwrap();
    pair(home.path());
    let page = report(home.path(), &["host", "container"]);
    for bad in
        ["http:", "https:", "src=", "@import", "<link", "<script", "<iframe", "<object", " style=", "javascript:"]
    {
        assert!(!page.contains(bad), "{bad}");
    }
    assert_eq!(page.matches("url(").count(), page.matches("url(#").count());
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let policy = "default-src 'none'; style-src 'sha256-";
    let hash = page.split(policy).nth(1).expect("a policy").split('\'').next().unwrap();
    assert_eq!(hash, sha256_base64(style), "src/report/page.rs has the hash of src/report/style.css");
}

/// By coreutils.
fn sha256_base64(text: &str) -> String {
    let mut child = std::process::Command::new("bash")
        .args(["-c", "sha256sum | cut -c-64 | tr a-f A-F | basenc --base16 -d | base64"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn evidence_leads_to_the_event() {
    let home = tempfile::tempdir().unwrap();
    pair(home.path());
    let page = report(home.path(), &["host", "container"]);
    let ids: BTreeSet<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(ids.len(), page.matches(" id=\"").count(), "each id once");
    let targets: Vec<&str> = page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(targets.iter().filter(|target| target.starts_with("event-")).count() > 40, "{targets:?}");
    for target in targets {
        assert!(ids.contains(target), "{target}");
    }
    let diff = answer(home.path(), &["diff", "host", "container"]);
    let query = diff["b"]["sizing_query"].as_str().unwrap();
    let (pid, n) = query.split_once(':').unwrap();
    let event = page.split(&format!("id=\"event-b{pid}-{n}\"")).nth(1).expect("the sizing query is there");
    let event = event.split("</pre>").next().unwrap();
    assert!(
        event.contains("&quot;ev&quot;:&quot;query&quot;") && event.contains(&format!("&quot;n&quot;:{n},")),
        "{event}"
    );
}

#[test]
fn a_file_that_is_there_survives_a_failure() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario::default(), &home.path().join("host"));
    std::fs::write(home.path().join("out.html"), "precious").unwrap();
    let (code, _, error) = kvtrace(home.path(), &["report", "host", "nothing", "-o", "out.html"]);
    assert_eq!(code, 2, "{error}");
    assert_eq!(std::fs::read_to_string(home.path().join("out.html")).unwrap(), "precious");
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let (code, _, error) = kvtrace(home.path(), &["report", "host", "-o", "no/such/folder.html"]);
    assert_eq!(code, 2);
    insta::assert_snapshot!("report_no_folder", error);
    assert_eq!(kvtrace(home.path(), &["report", "host", "-o", "host"]).0, 2);
    let (code, out, _) = kvtrace(home.path(), &["report", "host", "-o", "-"]);
    assert!(code == 0 && out.starts_with("<!DOCTYPE html>"));
}

#[test]
fn without_a_decision_there_is_a_page_and_no_answer() {
    let home = tempfile::tempdir().unwrap();
    let mut file = File::new(7, 1, "program", "h", "", "0::/\n", &[b"/bin/x"]);
    file.alloc("device", CUDART, 0x10, 3 << 30);
    file.save(&home.path().join("run"));
    let (code, _, error) = kvtrace(home.path(), &["report", "run", "-o", "out.html"]);
    assert_eq!(code, 3, "{error}");
    let page = std::fs::read_to_string(home.path().join("out.html")).unwrap();
    assert!(page.contains("no KV cache was sized") && page.contains("class=\"band o0\""));
    std::fs::create_dir(home.path().join("empty")).unwrap();
    assert_eq!(kvtrace(home.path(), &["report", "empty", "-o", "none.html"]).0, 3);
    assert!(!home.path().join("none.html").exists());
}

/// Memory that is held for an instant is on the page, among a million events that say nothing.
#[test]
fn a_million_events_stay_a_page() {
    const EVENTS: u64 = 500_000;
    let home = tempfile::tempdir().unwrap();
    let name = home.path().join("run");
    let mut file = File::new(99, 4242, "program", "spark", "host", "0::/x\n", &[b"/bin/server"]);
    let module = |at: u64| format!("/lib/module{}.so", at % 50);
    for at in 0..EVENTS {
        let size = if at == EVENTS / 3 { 77 * GIB } else { 4096 };
        file.alloc("device", module(at).as_bytes(), 0x1000 + at * 4096, size);
        file.free("device", module(at).as_bytes(), 0x1000 + at * 4096);
        if at % 1000 == 0 {
            file.query(&Scenario::default(), GIB + at, GIB);
        }
    }
    file.save(&name);
    let begin = std::time::Instant::now();
    let (code, _, error) = kvtrace(home.path(), &["report", "run"]);
    let seconds = begin.elapsed().as_secs_f64();
    assert!(code == 3 && error.contains("no KV cache was sized"), "{error}");
    assert!(seconds < 20.0, "{seconds} s");
    let page = std::fs::read_to_string(home.path().join("report.html")).unwrap();
    assert!(page.len() < MOST_BYTES / 3, "{}", page.len());
    let mut bands = page.split("class=\"band o").skip(1).map(|rest| rest.split('>').next().unwrap());
    assert!(bands.any(|band| band.contains("V0H")), "the most that was held is at the top");
}
