use crate::abis;
use kvtrace_tests::hooks::{self, Row};
use kvtrace_tests::{Bench, cudart};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Functions of other headers, whose typedefs stand in other files.
const OTHER_HEADERS: [&str; 5] = ["cuGL", "cuGraphicsGL", "cuEGL", "cuGraphicsEGL", "cuProfiler"];
const OTHERS: [&str; 2] = ["cuEventCreateFromEGLSync", "cuGraphicsResourceGetMappedEglFrame"];

/// The typedef headers name each ABI by its first version; cuda.h numbers the symbols. The n-th of one is the n-th of the
/// other.
#[test]
fn the_list_of_abis_is_that_of_the_headers() {
    let Some(folder) = cudart(13, "the list of the driver's ABIs") else { return };
    let typedefs = std::fs::read_to_string(folder.join("include/cudaTypedefs.h")).unwrap();
    let mut since: BTreeMap<(String, bool), BTreeSet<u32>> = BTreeMap::new();
    for (base, version, per_thread) in typedefs_in(&typedefs) {
        since.entry((base.to_owned(), per_thread)).or_default().insert(version);
    }
    let mut symbols: BTreeMap<(String, bool), BTreeSet<(u32, String)>> = BTreeMap::new();
    for defines in [&["-D__CUDA_API_VERSION_INTERNAL"][..], &[]] {
        let text = preprocessed("cuda.h", &[&folder], defines);
        for symbol in words(&text).filter(|word| word.starts_with("cu") && text.contains(&format!("{word}("))) {
            let (plain, form) = split_form(symbol);
            let (base, number) = match plain.rsplit_once("_v") {
                Some((base, digits)) if digits.parse::<u32>().is_ok() => (base, digits.parse().unwrap()),
                _ => (plain, 1),
            };
            let forms = symbols.entry((base.to_owned(), !form.is_empty())).or_default();
            forms.insert((number, symbol.to_owned()));
        }
    }

    let mut listed: BTreeSet<_> = abis::read().into_iter().collect();
    listed.retain(|abi| {
        !OTHER_HEADERS.iter().any(|prefix| abi.name.starts_with(prefix)) && !OTHERS.contains(&abi.name.as_str())
    });
    let mut told = BTreeSet::new();
    for ((name, per_thread), versions) in since {
        let forms = symbols.get(&(name.clone(), per_thread)).unwrap_or_else(|| panic!("cuda.h has no {name}"));
        assert_eq!(versions.len(), forms.len(), "{name}: {versions:?} and {forms:?}");
        for (since, (_, symbol)) in versions.into_iter().zip(forms) {
            told.insert(abis::Abi { name: name.clone(), since, per_thread, symbol: symbol.clone() });
        }
    }
    assert!(told.len() > 600, "{} ABIs", told.len());
    let missing: Vec<_> = told.difference(&listed).collect();
    let extra: Vec<_> = listed.difference(&told).collect();
    assert!(missing.is_empty() && extra.is_empty(), "not listed: {missing:#?}, in no header: {extra:#?}");
    println!("{} ABIs as in the headers", told.len());
}

/// CUDA 11 and 12 mean the same by every name and version.
#[test]
fn the_headers_of_older_cuda_contradict_nothing() {
    for major in [11, 12] {
        let Some(folder) = cudart(major, "the driver's ABIs in older CUDA") else { return };
        let typedefs = std::fs::read_to_string(folder.join("include/cudaTypedefs.h")).unwrap();
        let listed: BTreeSet<_> = abis::read().into_iter().map(|abi| (abi.name, abi.since, abi.per_thread)).collect();
        let mut count = 0;
        for (base, version, per_thread) in typedefs_in(&typedefs) {
            assert!(listed.contains(&(base.to_owned(), version, per_thread)), "{base} of {version} is not listed");
            count += 1;
        }
        assert!(count > 400, "{count}");
        println!("CUDA {major}: {count} ABIs, all listed");
    }
}

/// The compiler compares each argument of each wrapper with the header's: size, pointer or value, size behind a pointer.
#[test]
fn wrappers_take_what_the_headers_say() {
    let folder = |major| cudart(major, "the arguments of the wrappers");
    let (Some(eleven), Some(twelve), Some(thirteen)) = (folder(11), folder(12), folder(13)) else { return };
    let table = hooks::table();
    let bench = Bench::new();

    let typedefs = std::fs::read_to_string(thirteen.join("include/cudaTypedefs.h")).unwrap();
    let of_driver: Vec<_> = table
        .iter()
        .filter(|row| row.layer == "driver" && row.symbol != abis::INLINE)
        .map(|row| {
            let form = if row.per_thread { "_ptsz" } else { "" };
            let typedef = format!("*PFN_{}_v{}{form})", row.name, row.versions.0);
            (row, parameters(&typedefs, &typedef).unwrap_or_else(|| panic!("no {typedef}")))
        })
        .collect();
    check(&bench, "driver", "cudaTypedefs.h", &["-D__CUDA_API_VERSION_INTERNAL"], &[&thirteen], &of_driver);

    // The older headers want one of CUDA 13's, which holds macros of the compiler only.
    for (major, folders) in [(11, vec![&eleven, &thirteen]), (12, vec![&twelve, &thirteen]), (13, vec![&thirteen])] {
        let text = preprocessed("cuda_runtime_api.h", &folders, &[]);
        let (mut of_runtime, mut unknown) = (Vec::new(), Vec::new());
        for row in table.iter().filter(|row| row.major == major) {
            let symbol = row.symbol.strip_suffix("_ptsz").unwrap_or(&row.symbol);
            match parameters(&text, &format!(" {symbol}")) {
                Some(parameters) => of_runtime.push((row, parameters)),
                None => unknown.push(row.symbol.as_str()),
            }
        }
        // Replaced by a macro, and kept for programs that were built with an older header.
        let gone: &[&str] = if major == 12 { &["cudaGetDeviceProperties"] } else { &[] };
        assert_eq!(unknown, gone, "in no header of CUDA {major}");
        check(&bench, &format!("runtime{major}"), "cuda_runtime_api.h", &[], &folders, &of_runtime);
    }
}

/// Has the compiler compare the rows with the parameters that a header gives for them.
fn check(
    bench: &Bench,
    name: &str,
    header: &str,
    defines: &[&str],
    folders: &[&PathBuf],
    rows: &[(&Row, Vec<String>)],
) {
    let mut source = format!("#include <stddef.h>\n#include <{header}>\n");
    let mut compared = 0;
    for (index, (row, parameters)) in rows.iter().enumerate() {
        let arguments: Vec<&str> = row.arguments.split(", ").filter(|argument| !argument.is_empty()).collect();
        assert_eq!(arguments.len(), parameters.len(), "{}: {} and {parameters:?}", row.symbol, row.arguments);
        for (place, (argument, parameter)) in arguments.iter().zip(parameters).enumerate() {
            let (_, ours) = argument.split_once(": ").unwrap();
            let field = parameter.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let _ = writeln!(source, "struct s{index}_{place} {{ {parameter}; }};");
            let theirs = format!("((struct s{index}_{place} *)0)->{field}");
            let what = format!("\"{}: {parameter} is passed on as {ours}\"", row.symbol);
            let _ = writeln!(source, "_Static_assert(sizeof({theirs}) == {}, {what});", size(ours));
            let pointee = ours.strip_prefix("*mut ").or_else(|| ours.strip_prefix("*const "));
            if let Some(pointee) = pointee {
                // 5 is a pointer, 12 a struct: of those the wrapper reads the beginning.
                let _ = writeln!(source, "_Static_assert(__builtin_classify_type({theirs}) == 5, {what});");
                if pointee != "c_void" && pointee != "c_char" {
                    let size = size(pointee);
                    let _ = writeln!(
                        source,
                        "_Static_assert(__builtin_classify_type(*{theirs}) == 12 ? sizeof(*{theirs}) >= {size} : \
                         sizeof(*{theirs}) == {size}, {what});"
                    );
                }
            }
            compared += 1;
        }
    }
    let path = bench.path(&format!("{name}.c"));
    std::fs::write(&path, source).unwrap();
    let output = Command::new("cc").args(["-fsyntax-only"]).args(includes(folders)).args(defines).arg(&path).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{name}: {} rows, {compared} arguments as in {header}", rows.len());
}

/// Name, version and stream kind of each `PFN_NAME_vVERSION_ptsz` that is defined.
fn typedefs_in(text: &str) -> impl Iterator<Item = (&str, u32, bool)> {
    text.split("*PFN_").skip(1).filter_map(|rest| {
        let (plain, form) = split_form(words(rest).next()?);
        // CUDA 12 forgot some versions; CUDA 13 has them.
        let (base, digits) = plain.rsplit_once("_v")?;
        Some((base, digits.parse().ok()?, !form.is_empty()))
    })
}

/// Bytes of a type of the preload.
fn size(of: &str) -> usize {
    match of {
        "i32" | "u32" | "Device" => 4,
        "usize" | "u64" | "Pointer" | "Handle" | "Pool" | "Stream" | "Location" => 8,
        "Extent" => 24,
        "IpcHandle" => 64,
        pointer if pointer.starts_with('*') => 8,
        other => panic!("how large is {other}?"),
    }
}

/// The parameters in the parentheses behind `place`.
fn parameters(text: &str, place: &str) -> Option<Vec<String>> {
    let mut from = text.match_indices(place).map(|(at, _)| at + place.len());
    let list = from.find_map(|at| text[at..].trim_start().strip_prefix('('))?;
    let list = list[..list.find(')')?].split_whitespace().collect::<Vec<_>>().join(" ");
    if list == "void" || list.is_empty() {
        return Some(Vec::new());
    }
    Some(list.split(',').map(|parameter| parameter.trim().to_owned()).collect())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn split_form(name: &str) -> (&str, &str) {
    let form = ["_ptsz", "_ptds"].into_iter().find(|form| name.ends_with(form)).unwrap_or_default();
    (&name[..name.len() - form.len()], form)
}

fn includes(folders: &[&PathBuf]) -> Vec<String> {
    folders.iter().map(|folder| format!("-I{}", folder.join("include").display())).collect()
}

fn preprocessed(header: &str, folders: &[&impl AsRef<Path>], defines: &[&str]) -> String {
    let header = folders[0].as_ref().join("include").join(header);
    let mut command = Command::new("cc");
    for folder in folders {
        command.arg(format!("-I{}", folder.as_ref().join("include").display()));
    }
    let output = command.args(["-E", "-P", "-x", "c"]).args(defines).arg(&header).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
