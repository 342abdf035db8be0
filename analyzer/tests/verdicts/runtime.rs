use crate::support::{CUDART, More, Scenario};
use crate::{G, GIB, assert_is, clean, finding, number, of, run, settings, show, supported};

#[test]
fn a_fraction_that_is_not_the_default() {
    let answer = of(&Scenario { fraction: 0.8, ..clean() });
    assert_eq!(supported(&answer), ["fraction_or_cap"]);
    let found = finding(&answer, "fraction_or_cap");
    let base = answer["decisions"][0]["budget_bytes"].as_f64().unwrap() / 0.8;
    assert!((found["kv_bytes"].as_f64().unwrap() + 0.1 * base).abs() < 4.0, "{found}");
    assert_eq!(settings(found), ["kv_cache_config.free_gpu_memory_fraction 0.9"]);
    assert_is(&of(&clean()), "fraction_or_cap", "refuted");
    assert_is(&of(&Scenario { with_log: false, ..clean() }), "fraction_or_cap", "cannot tell");
}

#[test]
fn a_cap_of_the_user() {
    let answer = of(&Scenario { user_tokens: Some(100_000), ..clean() });
    assert_eq!(supported(&answer), ["fraction_or_cap"]);
    let found = finding(&answer, "fraction_or_cap");
    assert_eq!(number(found, "cap"), -found["kv_bytes"].as_i64().unwrap());
    assert!(found["remedies"].to_string().contains("kv_cache_config.max_tokens"), "{found}");
    // What is free or not does not matter then.
    let filled = of(&Scenario { user_tokens: Some(100_000), page_cache: 40 * GIB, ..clean() });
    assert_is(&filled, "page_cache", "refuted");
    // It is no ceiling: the rule goes on above it.
    assert_is(&answer, "ceiling", "refuted");
}

#[test]
fn a_ceiling_is_refuted_by_the_rule_and_left_open_off_it() {
    assert_is(&of(&clean()), "ceiling", "refuted");
    // The pool is smaller than all that the log says, by two GiB.
    let home = run(&clean(), |_| ());
    let pool = show(home.path())["decisions"][0]["final_pool_bytes"]["value"].as_u64().unwrap();
    let block = 32 * 57_344;
    crate::edit(home.path(), |text| {
        text.replace(&format!("\"size\":{pool}"), &format!("\"size\":{}", pool - 1170 * block))
    });
    let answer = show(home.path());
    assert_is(&answer, "ceiling", "cannot tell");
    assert!(finding(&answer, "ceiling")["because"].as_str().unwrap().contains("kvtrace fit"));
}

#[test]
fn a_snapshot_that_was_out_of_date() {
    let answer = of(&Scenario { growth_before_c: 9 * GIB, ..clean() });
    assert_is(&answer, "stale_snapshot", "supported");
    assert_eq!(number(finding(&answer, "stale_snapshot"), "change by others"), -9 * G);
    let answer = of(&Scenario { growth_before_c: GIB / 4, ..clean() });
    assert_is(&answer, "stale_snapshot", "refuted");
    assert_eq!(number(finding(&answer, "stale_snapshot"), "change by others"), -G / 4);
}

#[test]
fn activations_and_graphs() {
    let answer = of(&Scenario { transient: 4 * GIB, ..clean() });
    assert_eq!(supported(&answer), ["own_footprint"]);
    let found = finding(&answer, "own_footprint");
    let off = found["kv_bytes"].as_i64().unwrap() + (0.9 * (4 * G) as f64) as i64;
    assert!(off.abs() <= 2 * 32 * 57_344, "{off}");
    // Half of the tokens that the temporary pool was made for.
    assert_eq!(settings(found), ["max_num_tokens 4096"]);
    // What the weights were is not known, so neither is what is not weights.
    assert_is(&of(&clean()), "own_footprint", "cannot tell");
}

/// Memory taken once the KV cache is there.
fn later(more: &mut More, size: u64, rc: i64) {
    let module = std::str::from_utf8(CUDART).unwrap();
    more.raw(
        "alloc",
        &format!(
            r#""fn":"cuMemAlloc","layer":"driver","depth":1,"rc":{rc},"dur":5,"mod":"{module}","off":"0x10","kind":"device","dev":0,"size":{size},"ptr":"{}""#,
            if rc == 0 { "0x9000" } else { "0x0" }
        ),
    );
}

#[test]
fn a_reserve_that_graphs_use_up() {
    assert_is(&of(&clean()), "own_reserve", "cannot tell");
    let small = show(run(&clean(), |more| later(more, GIB, 0)).path());
    assert_is(&small, "own_reserve", "refuted");
    assert_eq!(number(finding(&small, "own_reserve"), "taken behind the cache"), G);
    let large = show(run(&clean(), |more| later(more, 12 * GIB, 0)).path());
    assert_is(&large, "own_reserve", "supported");
    let left = number(finding(&large, "own_reserve"), "left beside the cache");
    assert!((9 * G..12 * G).contains(&left), "{left}");
    let failed = show(run(&clean(), |more| later(more, 20 * GIB, 2)).path());
    assert_is(&failed, "own_reserve", "supported");
    let found = finding(&failed, "own_reserve");
    let set = settings(found);
    assert!(set[0].starts_with("kv_cache_config.free_gpu_memory_fraction 0.6"), "{set:?}");
    assert!(set[1].starts_with("kv_cache_config.max_tokens "), "{set:?}");
}
