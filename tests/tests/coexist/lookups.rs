use crate::{alike, compile, library, simulated};
use kvtrace_tests::Bench;
use std::process::Command;

fn both(bench: &Bench, change: impl Fn(&mut Command), program: &std::path::Path) -> String {
    let (mut plain, mut traced) = (bench.plain(program), bench.traced(program));
    change(&mut plain);
    change(&mut traced);
    alike(&mut plain, &mut traced)
}

/// Protects: names that only begin like ours, `dlerror`'s text, what is absent stays absent though we export it,
/// `RTLD_NEXT` for any number of times in any thread.
#[test]
fn every_scope_holds_what_it_would_without_us() {
    let bench = Bench::new();
    let program = compile(&bench, "scopes", "scopes", &["-ldl"]);
    let none = both(&bench, |_| {}, &program);
    assert!(none.contains("default cuInit absent: undefined symbol: cuInit\n"), "{none}");
    assert!(none.contains("main cudaMalloc absent: undefined symbol: cudaMalloc\n"), "{none}");
    for name in ["libcuda.so.1", "libcudart.so.12", "libcudart.so.13"] {
        for scope in ["local", "global"] {
            let told = both(&bench, |command| _ = command.args([scope, &simulated(name)]), &program);
            let wanted = if name == "libcuda.so.1" { "handle cuInit found" } else { "handle cudaMalloc found" };
            assert!(told.contains(wanted), "{told}");
        }
    }
    both(&bench, |command| _ = command.env("KVTRACE_DISABLE", "1"), &program);
}

/// Protects: the loader finds a third interposer's function from its own place, not from ours, and as often as it asks.
#[test]
fn rtld_next_of_a_third_interposer_is_what_is_behind_it() {
    let bench = Bench::new();
    let other = bench.compile("interposer", "libinterposer.so", &["-shared", "-fPIC"]);
    let program = bench.compile("next", "next", &["-ldl"]);
    let mut plain = bench.plain(&program);
    crate::preload(&mut plain, &[&other]);
    for order in [[&other, &crate::shim()], [&crate::shim(), &other]] {
        let mut traced = bench.traced(&program);
        crate::preload(&mut traced, &order.map(std::path::PathBuf::as_path));
        assert_eq!(alike(&mut plain, &mut traced), "interposed 2\nno_such_symbol: undefined\n");
    }
}

/// Protects: a program that has the functions itself finds its own, whether or not a library of CUDA is loaded.
#[test]
fn a_program_s_own_functions_stay_its_own() {
    let bench = Bench::new();
    let alone = compile(&bench, "owner", "owner", &["-rdynamic", "-ldl"]);
    assert_eq!(both(&bench, |_| {}, &alone), "default own\nmain own\nanswers 77\n");
    let beside =
        compile(&bench, "owner", "beside", &["-rdynamic", "-Wl,--no-as-needed", &simulated("libcudart.so.12")]);
    assert_eq!(both(&bench, |_| {}, &beside), "default own\nmain own\nanswers 77\n");
}

/// Protects: a handle names one library; of two copies each answers for itself.
#[test]
fn two_copies_of_a_runtime_are_not_mixed_up() {
    let bench = Bench::new();
    for folder in ["a", "b"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    let program = compile(&bench, "twin", "twin", &["-ldl"]);
    let copies = ["a/libcudart.so.12", "b/libcudart.so.12"].map(|name| library(&bench, "counted", name));
    let told = both(&bench, |command| _ = command.args(&copies), &program);
    assert_eq!(told.matches("libcudart.so.12: 3").count(), 2, "{told}");
}

/// Protects: who is linked with one copy stays with it, though another copy was looked up before.
#[test]
fn who_is_linked_with_a_copy_stays_with_it() {
    let bench = Bench::new();
    for folder in ["a", "b"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    // As NVIDIA's: the version names the runtime's major.
    let nodes = bench.path("nodes");
    std::fs::write(&nodes, "libcudart.so.12 { global: cuda*; twin_calls; local: *; };").unwrap();
    let script = format!("-Wl,--version-script={}", nodes.display());
    let copies = ["a/libcudart.so.12", "b/libcudart.so.12"]
        .map(|name| compile(&bench, "counted", name, &["-shared", "-fPIC", &script]));
    let program = compile(&bench, "linked", "linked", &[copies[0].to_str().unwrap(), "-ldl"]);
    let told = both(&bench, |command| _ = command.arg(&copies[1]), &program);
    assert_eq!(told, "opened 2, linked 0\nopened 2, linked 3\n");
    assert_eq!(bench.trace().calls("alloc", "cudaMalloc").iter().filter(|call| call["size"] != 1).count(), 2);
}

/// Protects: a plugin that has a runtime inside calls that one, whether or not another is in the process.
#[test]
fn a_plugin_s_own_runtime_stays_its_own() {
    let bench = Bench::new();
    let host = bench.compile("local", "local", &["-ldl"]);
    let own = library(&bench, "embedded", "embedded.so");
    let runtime = simulated("libcudart.so.12");
    let other = bench.compile("plugin", "other.so", &["-shared", "-fPIC", &runtime]);
    let dependent = compile(&bench, "taker", "dependent.so", &["-shared", "-fPIC", own.to_str().unwrap()]);
    for plugins in [vec![&own], vec![&other, &own], vec![&own, &other]] {
        both(&bench, |command| _ = command.args(&plugins), &host);
    }
    assert_eq!(bench.trace().calls("alloc", "cudaMalloc").iter().filter(|call| call["size"] == 42).count(), 3);
    both(&bench, |command| _ = command.arg(&dependent), &host);
}
