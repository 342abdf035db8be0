//! What holds of every rule, whatever the figures: terms sum, caps hold, more free memory gives no smaller cache, the
//! inverse finds the fraction again, and nothing panics.

use kvtrace_sizing::element::Element;
use kvtrace_sizing::kv_bytes::{HeadSplit, Heads, Latent};
use kvtrace_sizing::model::{Attention, Layer, ModelConfig, Place};
use kvtrace_sizing::tensorrt_llm::cpp::{Cpp, Memory, Window};
use kvtrace_sizing::tensorrt_llm::temporary::{self, Requests};
use kvtrace_sizing::tensorrt_llm::v1::{self, Release, V1};
use kvtrace_sizing::tensorrt_llm::v2::{self, V2};
use kvtrace_sizing::vllm::blocks::{Context, Group};
use kvtrace_sizing::vllm::{self, Snapshot, Vllm};
use kvtrace_sizing::{Refusal, Terms, llama_cpp, ollama, sglang, tensorrt_llm};
use proptest::option::of;
use proptest::prelude::*;

/// Memory of real machines, bytes.
fn memory() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..1 << 42, 1u64 << 30..1 << 38]
}

fn fraction() -> impl Strategy<Value = f64> {
    0.01f64..0.999
}

fn element_size() -> impl Strategy<Value = u64> {
    prop_oneof![Just(57_344u64), Just(35_136), Just(73_728), 1u64..1 << 20]
}

fn sums(terms: &Terms) -> bool {
    terms.sum() == i128::from(terms.pool)
}

prop_compose! {
    fn v1s(bytes: fn() -> BoxedStrategy<u64>)(
        release in prop::sample::select(vec![Release::V0_17, Release::V1_1, Release::Main]),
        sizes in [bytes(), bytes(), bytes(), bytes(), bytes(), bytes(), bytes()],
        fraction in fraction(),
        caps in (of(bytes()), of(bytes())),
        cut in (element_size(), 1u64..129),
    ) -> V1 {
        let [total, free_after_profile, torch_peak, torch_allocated, temporary_pool, reserved, free_before_pool] =
            sizes;
        V1 {
            release, total, free_after_profile, torch_peak, torch_allocated, temporary_pool, reserved,
            free_before_pool, fraction, max_tokens: caps.0, max_bytes: caps.1, bytes_per_token: cut.0,
            tokens_per_block: cut.1,
        }
    }
}

prop_compose! {
    fn vllms(bytes: fn() -> BoxedStrategy<u64>)(
        release in prop::sample::select(vec![vllm::Release::V0_10, vllm::Release::V0_20, vllm::Release::V0_33]),
        sizes in [bytes(), bytes(), bytes(), bytes(), bytes(), bytes(), bytes(), bytes()],
        utilization in fraction(),
        own in (of(bytes()), of(0u64..1 << 20)),
        bytes_per_block in element_size(),
    ) -> Vllm {
        let [total, init, after, peak, allocated, reserved, weights, graphs] = sizes;
        Vllm {
            release, total, utilization, weights, graphs, own_bytes: own.0, own_blocks: own.1, bytes_per_block,
            at_init: Snapshot { free: init, ..Snapshot::default() },
            before_profile: Snapshot { torch_peak: weights, ..Snapshot::default() },
            after_profile: Snapshot {
                free: after, torch_peak: peak, torch_allocated: allocated, torch_reserved: reserved,
            },
        }
    }
}

fn real() -> BoxedStrategy<u64> {
    memory().boxed()
}

fn wild() -> BoxedStrategy<u64> {
    prop_oneof![any::<u64>(), Just(u64::MAX), Just(0), memory()].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn v1_sums_stays_below_its_caps_and_finds_its_fraction(given in v1s(real), more in memory()) {
        let size = given.size().unwrap();
        prop_assert!(sums(&size.terms));
        let block = given.bytes_per_token * given.tokens_per_block;
        let over = if given.release == Release::Main { 0 } else { block };
        let below = |cap: u64| size.terms.pool < cap.saturating_add(over).saturating_add(1);
        prop_assert!(below(size.terms.budget) && below(size.free_share));
        prop_assert!(given.max_bytes.is_none_or(below));
        let beyond = |tokens: u64| tokens.saturating_add(given.tokens_per_block);
        prop_assert!(given.max_tokens.is_none_or(|tokens| size.pool.tokens < beyond(tokens)));
        prop_assert!(size.terms.cap <= 0);
        let found = given.fractions(size.terms.pool..=size.terms.pool).unwrap();
        prop_assert!(found.contain(given.fraction));
        for more in [
            V1 { free_after_profile: given.free_after_profile + more, ..given },
            V1 { free_before_pool: given.free_before_pool + more, ..given },
            V1 { temporary_pool: given.temporary_pool + more, ..given },
        ] {
            prop_assert!(more.size().unwrap().terms.pool >= size.terms.pool);
        }
    }

    #[test]
    fn v1_agrees_with_the_form_without_torch(given in v1s(real), held in memory()) {
        // As much is held outside torch as makes the shorter form valid.
        let total = given.free_after_profile + given.torch_allocated + held;
        let torch_peak = given.torch_allocated + given.torch_peak;
        let full = V1 { total, torch_peak, reserved: 0, ..given };
        let short = V1 { torch_peak: given.torch_peak, torch_allocated: 0, ..full };
        prop_assert_eq!(full.size().unwrap().terms, short.size().unwrap().terms);
        prop_assert_eq!(full.size().unwrap().peak, short.size().unwrap().peak);
    }

    #[test]
    fn v2_stays_within_its_quota(
        budget in memory(), tokens in of(0u64..1 << 22), b in element_size(), f in fraction(),
    ) {
        let given = V2 { budget, max_tokens: tokens, bytes_per_token: b, max_utilization: 0.95 };
        let size = given.size().unwrap();
        prop_assert!(sums(&size.terms) && size.terms.pool <= size.quota && size.quota <= budget);
        prop_assert!(size.quota - size.terms.pool < size.chunk);
        let more = V2 { budget: budget + (1 << 30), ..given };
        prop_assert!(more.size().unwrap().quota >= size.quota);
        let mapped = V2 { budget: (budget as f64 * f) as u64, max_tokens: None, ..given }.size().unwrap().terms.pool;
        prop_assert!(v2::fractions(budget, mapped..=mapped).unwrap().contain(f));
    }

    #[test]
    fn cpp_sums_and_exceeds_by_less_than_its_blocks(
        total in 1u64 << 30..1 << 40,
        free in 0.0f64..1.0,
        fraction in 0.01f32..0.999,
        windows in prop::collection::vec((1u64..1 << 17, element_size()), 1..4),
        max_tokens in of(0u64..1 << 24),
    ) {
        let free = (total as f64 * free) as u64;
        let windows: Vec<_> =
            windows.iter().map(|(tokens, b)| Window { tokens: *tokens, bytes_per_token: *b }).collect();
        let given = Cpp {
            memory: Memory { total, free }, pool_free: 0, fraction, max_tokens, host_bytes: total, tokens_per_block: 32,
            windows: &windows,
        };
        let size = given.size().unwrap();
        prop_assert!(sums(&size.terms) && size.terms.cap <= 0);
        let blocks: u64 = windows.iter().map(|window| window.bytes_per_token * 32).sum();
        // Shares and products are short floats: they may sum to a little more.
        prop_assert!(size.terms.pool <= size.terms.budget + blocks + (size.terms.budget >> 20) + 1);
        let more = Cpp { memory: Memory { total, free: free + (total - free) / 2 }, ..given };
        prop_assert!(more.size().unwrap().terms.pool >= size.terms.pool);
        let found = given.fractions(size.terms.pool..=size.terms.pool).unwrap();
        prop_assert!(found.contain(f64::from(fraction)));
    }

    #[test]
    fn vllm_sums_and_finds_its_utilization(given in vllms(real), more in memory()) {
        let Ok(size) = given.size() else { return Ok(()) };
        prop_assert!(sums(&size.terms));
        if given.own_bytes.is_none() && given.own_blocks.is_none() {
            prop_assert!(i128::from(size.terms.pool) <= size.available.max(0));
            let all = i128::from(size.requested) - size.non_kv - i128::from(given.graphs);
            prop_assert!(given.release == vllm::Release::V0_10 || (size.available - all).abs() <= 1);
        }
        prop_assert!(given.utilizations(size.terms.pool..=size.terms.pool).unwrap().contain(given.utilization));
        let mut freer = given;
        freer.after_profile.free = (given.after_profile.free + more).min(given.at_init.free);
        if freer.after_profile.free >= given.after_profile.free {
            prop_assert!(freer.size().unwrap().terms.pool >= size.terms.pool);
        }
    }

    #[test]
    fn sglang_sums_and_finds_its_fraction(
        release in prop::sample::select(vec![sglang::Release::V0_4, sglang::Release::V0_5_5, sglang::Release::V0_5_23]),
        sizes in [memory(), memory(), memory(), memory()],
        fraction in fraction(),
        max_tokens in of(0u64..1 << 24),
        cut in (element_size(), 1u64..129),
    ) {
        let [before, after, reserved, more] = sizes;
        let given = sglang::Sglang {
            release, free_before_weights: before, free_after_weights: after, fraction, reserved, max_tokens,
            bytes_per_token: cut.0, page: cut.1,
        };
        let size = given.size().unwrap();
        prop_assert!(sums(&size.terms) && size.terms.pool <= size.terms.budget && size.terms.cap <= 0);
        prop_assert!(max_tokens.is_none_or(|most| size.tokens <= most) && size.tokens.is_multiple_of(cut.1));
        prop_assert!(given.fractions(size.terms.pool..=size.terms.pool).unwrap().contain(fraction));
        let freer = sglang::Sglang { free_after_weights: after + more, ..given }.size().unwrap();
        prop_assert!(freer.terms.pool >= size.terms.pool);
    }

    #[test]
    fn llama_keeps_its_margin(
        sizes in [memory(), memory(), memory(), memory()], streams in 1u64..5, full in 1u64..1 << 20,
    ) {
        let [free, used_least, more_used, more] = sizes;
        let given = llama_cpp::Fit {
            free, margin: llama_cpp::DEFAULT_MARGIN, used_full: used_least + more_used, used_least, full_context: full,
            least_context: llama_cpp::DEFAULT_LEAST_CONTEXT, streams,
        };
        let fitted = given.fit().unwrap();
        prop_assert!(fitted.context <= full);
        if !fitted.layers_move {
            let range = u128::from(full.saturating_sub(given.least_context).max(1));
            let longer = u128::from(fitted.context.saturating_sub(given.least_context));
            let used = u128::from(used_least) + longer * u128::from(more_used) / range;
            let used = if fitted.context == full { u128::from(given.used_full) } else { used };
            prop_assert!(used + u128::from(given.margin) <= u128::from(free));
        }
        let freer = llama_cpp::Fit { free: free + more, ..given }.fit().unwrap();
        prop_assert!(freer.context >= fitted.context && (fitted.layers_move || !freer.layers_move));
    }

    #[test]
    fn tensor_parallel_ranks_hold_all_heads(heads in 1u64..200, dim in 1u64..300, ranks in 1u64..300) {
        let all = heads * dim;
        let of = |split: HeadSplit| split.elements(heads, dim, ranks);
        prop_assert!(of(HeadSplit::Ceil) * ranks >= all && of(HeadSplit::Estimate) <= of(HeadSplit::Ceil));
        prop_assert!(of(HeadSplit::Ceil).is_multiple_of(dim) && of(HeadSplit::Floor) >= dim);
        let layers = 61;
        for counts in [
            tensorrt_llm::layers_by_rank(layers, ranks).collect::<Vec<_>>(),
            vllm::layers_by_rank(layers, ranks).collect(),
        ] {
            prop_assert_eq!(counts.iter().sum::<u64>(), layers);
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn no_figures_make_a_rule_panic(
        v1 in v1s(wild),
        vllm in vllms(wild),
        sizes in [wild(), wild(), wild(), wild(), wild(), wild(), wild()],
        fraction in any::<f64>(),
        optional in of(wild()),
    ) {
        let [a, b, c, d, e, f, g] = sizes;
        let given = V1 { fraction, bytes_per_token: a, tokens_per_block: b, ..v1 };
        for size in [v1.size(), given.size()].into_iter().flatten() {
            prop_assert!(sums(&size.terms));
        }
        let _ = (v1.fractions(a..=b), given.fractions(c..=d));
        let _ = (v1::peak_from_budget(a, b, c, fraction), v1::total_from_torch_limit(fraction, fraction));
        let _ = (v1::torch_limit(a, b), v1::helix_budget(fraction, a));
        let cut = v1::Blocks { bytes_per_token: a, tokens_per_block: b, round_up: true };
        let _ = (v1::final_pool(c, fraction, d, optional, cut), v1::host_blocks(c, cut));
        let budget = tensorrt_llm::Budget {
            free_after_profile: a, temporary_pool: b, transient: c as i64, fraction,
        };
        let _ = (budget.bytes(), budget.peak(d), tensorrt_llm::solve_transient(a, b, c, fraction));
        let _ = (tensorrt_llm::budget_from_peak(a, b, c, fraction), tensorrt_llm::transient_from_peak(a, b, c));
        let requests = Requests {
            max_num_tokens: a, max_seq_len: b, tokens_per_block: c, extra_tokens: d, attention_ranks: e,
        };
        let _ = (requests.bytes(f), temporary::tokens_0_20(f, &requests, fraction, g, a));
        let v2 = V2 { budget: a, max_tokens: optional, bytes_per_token: b, max_utilization: fraction };
        if let Ok(size) = v2.size() {
            prop_assert!(sums(&size.terms));
        }
        let _ = (v2::host_tier(a, b, optional, None), v2::fractions(a, b..=c));
        let windows = [Window { tokens: a, bytes_per_token: b }, Window { tokens: c, bytes_per_token: d }];
        let cpp = Cpp {
            memory: Memory { total: e, free: f }, pool_free: g, fraction: fraction as f32, max_tokens: optional,
            host_bytes: a, tokens_per_block: b, windows: &windows,
        };
        for cpp in [cpp, Cpp { windows: &windows[..1], fraction: 0.9, ..cpp }, Cpp { windows: &[], ..cpp }] {
            if let Ok(size) = cpp.size() {
                prop_assert!(sums(&size.terms));
            }
        }
        for given in [vllm, Vllm { utilization: fraction, own_blocks: optional, bytes_per_block: a, ..vllm }] {
            if let Ok(size) = given.size() {
                prop_assert!(sums(&size.terms));
            }
            let _ = given.utilizations(a..=b);
        }
        let context = Context { max_model_len: a, max_batched_tokens: b, block_size: c };
        let groups = [Group::Full, Group::Sliding { window: d }];
        for release in [vllm::Release::V0_10, vllm::Release::V0_33] {
            let _ = (context.tokens(release, e, &groups), context.tokens(release, e, &[]));
        }
        let sglang = sglang::Sglang {
            release: sglang::Release::V0_5_23, free_before_weights: a, free_after_weights: b, fraction, reserved: c,
            max_tokens: optional, bytes_per_token: d, page: e,
        };
        for given in [sglang, sglang::Sglang { fraction: 0.5, release: sglang::Release::V0_4, ..sglang }] {
            if let Ok(size) = given.size() {
                prop_assert!(sums(&size.terms));
            }
            let _ = given.fractions(a..=b);
        }
        let _ = (sglang::hybrid(a, b, c, fraction, d), sglang::post_capture(a, b, fraction, c));
        let _ = sglang::Defaults { capacity_mib: a, chunked_prefill: b, graph_batch: c, ranks: d }.fraction();
        let fit = llama_cpp::Fit {
            free: a, margin: b, used_full: c, used_least: d, full_context: e, least_context: f, streams: g,
        };
        let _ = (fit.fit(), llama_cpp::unified_free(a, b, c, d));
        let layers = llama_cpp::Layers { count: a, key_elements: b, value_elements: c };
        for (unified, row) in [(true, llama_cpp::RowType::Q4_0), (false, llama_cpp::RowType::F16)] {
            let cache = llama_cpp::Cache {
                context: d, sequences: e, unified, micro_batch: f, window: g, full_sliding: false, full: layers,
                sliding: layers, key_type: row, value_type: row,
            };
            let _ = cache.size();
        }
        let host = ollama::Meminfo { total: a, available: b, free: c, buffers: d, cached: e };
        let view = ollama::host_view(host, ollama::Cgroup { max: optional, current: Some(f), reclaimable: Some(g) });
        prop_assert!(view.free <= view.total && view.total <= a);
        let _ = ollama::host_view(host, ollama::Cgroup::default());
        let heads = Heads { layers: a, kv_heads: b, head_dim: c, tensor_parallel: d };
        let _ = (heads.bytes_per_token(e), heads.bytes_per_token_nvfp4());
        let _ = Latent { layers: a, kv_lora_rank: b, rope_dim: c }.bytes_per_token(d);
        let model = ModelConfig {
            kind: None, attention: Attention::Heads { kv_heads: a, head_dim: b }, query_heads: None,
            layers: vec![Layer::Full, Layer::Sliding(c)], dtype: None, cache_dtype: None, context: None,
        };
        let place = Place { tensor_parallel: d, split: HeadSplit::Floor, layers: None, element: Element::Nvfp4 };
        if let Ok(kv) = model.kv(&place) {
            let _ = (kv.bytes_per_block(e), kv.request_bytes(f));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        text in any::<String>(),
        keys in prop::collection::vec((key(), value()), 0..12),
    ) {
        let _ = ModelConfig::parse(&text);
        let body: Vec<String> = keys.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let flat = format!("{{{}}}", body.join(","));
        for text in [format!("{{\"text_config\":{flat}}}"), flat] {
            match ModelConfig::parse(&text) {
                Ok(model) => {
                    prop_assert!(!model.layers.is_empty());
                    let _ = model.kv(&Place::whole(Element::Bf16));
                }
                Err(refusal) => {
                    prop_assert!(!matches!(refusal, Refusal::Overflow));
                    prop_assert!(!refusal.to_string().is_empty());
                }
            }
        }
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "hidden_size",
        "layer_types",
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "sliding_window_pattern",
        "kv_lora_rank",
        "qk_rope_head_dim",
        "full_attention_interval",
        "attn_layer_period",
        "attn_layer_offset",
        "attn_layer_indices",
        "hybrid_override_pattern",
        "quantization_config",
        "torch_dtype",
        "model_type",
        "v_head_dim",
    ])
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u64..70).prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| if number.is_finite() { format!("{number:e}") } else { "null".into() }),
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "\"M*-\"",
            "\"gemma2\"",
            "[0,1]",
            "[\"full_attention\",\"mamba\"]",
            "{}",
            "{\"kv_cache_scheme\":{\"num_bits\":8,\"type\":\"int\"}}",
        ])
        .prop_map(str::to_owned),
    ]
}
