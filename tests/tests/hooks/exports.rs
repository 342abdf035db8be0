use kvtrace_tests::elf::{self, Export};
use kvtrace_tests::hooks::{self, Row};
use kvtrace_tests::kit;
use std::collections::BTreeMap;

/// What the preload exports beside its hooks.
const OWN: [&str; 1] = ["kvtrace_hook"];

/// Version node of the row, and whether references without a version get it.
fn node(row: &Row) -> (&'static str, bool) {
    match row.major {
        0 => ("", true),
        11 => ("libcudart.so.11.0", false),
        12 => ("libcudart.so.12", false),
        13 => ("libcudart.so.13", true),
        other => panic!("a runtime of major version {other}"),
    }
}

#[test]
fn every_row_is_exported_and_every_export_is_a_row() {
    let mut exports: BTreeMap<(String, String), Export> = elf::exports(&kit("lib/libkvtrace.so"))
        .into_iter()
        .map(|export| ((export.name.clone(), export.version.clone()), export))
        .collect();
    let mut of_runtime = 0;
    for row in hooks::table() {
        let (version, default) = node(&row);
        // What the linker calls it before it gets its version.
        exports.remove(&(format!("kvtrace_{}_{}", row.major, row.symbol), String::new()));
        let export = exports.remove(&(row.symbol.clone(), version.to_owned()));
        let export = export.unwrap_or_else(|| panic!("{}@{version} is not exported, or has two rows", row.symbol));
        assert_eq!(export.default, default, "{}@{version}", row.symbol);
        of_runtime += u32::from(!version.is_empty());
    }
    assert!(of_runtime > 200, "{of_runtime} rows of the runtime");
    let rest: Vec<_> = exports.into_keys().map(|(name, _)| name).collect();
    assert_eq!(rest, OWN);
}

/// A hook of a function that the library does not have would answer a program's probe with yes.
#[test]
fn every_row_of_the_runtime_is_a_function_of_that_runtime() {
    for (major, list) in [(12, "cudart12/names12.txt"), (13, "cudart13/names13.txt")] {
        let names = crate::complete::names(list);
        for row in hooks::table().iter().filter(|row| row.major == major) {
            assert!(names.contains(&row.symbol), "libcudart {major} has no {}", row.symbol);
        }
    }
}

#[test]
fn names_and_forms_belong_together() {
    for row in hooks::table().iter().filter(|row| row.layer != "libc") {
        let rest = row.symbol.strip_prefix(&row.name);
        let rest = rest.unwrap_or_else(|| panic!("{} as {}", row.symbol, row.name));
        let form = ["_ptsz", "_spt"].iter().find_map(|suffix| rest.strip_suffix(suffix));
        assert_eq!(row.per_thread, form.is_some(), "{}", row.symbol);
        let form = form.unwrap_or(rest);
        // HIP names the forms of its device properties after the release that brought them.
        let number = form.strip_prefix("_v").or_else(|| form.strip_prefix("R"));
        let number = number.is_some_and(|digits| digits.parse::<u32>().is_ok());
        assert!(form.is_empty() || number, "{} as {}", row.symbol, row.name);
    }
}
