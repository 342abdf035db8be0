//! Which layers of a configuration keep which tokens.

use super::Layer;
use super::config::Config;
use crate::Refusal;
use serde_json::Value;
use std::collections::BTreeSet;

/// More layers is no model.
const MOST_LAYERS: u64 = 4096;

/// Keys of recurrent layers; where they are but nothing says which layers they mean, no figure is right.
const RECURRENT: [&str; 7] = [
    "mamba_d_state",
    "mamba_expand",
    "ssm_cfg",
    "ssm_state_size",
    "state_size",
    "linear_num_key_heads",
    "rescale_every",
];

/// The kind of each of `count` layers.
pub(super) fn of(config: &Config<'_>, count: u64) -> Result<Vec<Layer>, Refusal> {
    if count > MOST_LAYERS {
        return Err(Refusal::Text(format!("{count} layers are more than a model has")));
    }
    for key in ["layer_types", "layers_block_type"] {
        if let Some(Value::Array(names)) = config.value(key) {
            return same_length(names.iter().map(|name| named(config, name.as_str().unwrap_or("?"))), count, key);
        }
    }
    if let Some(pattern) = config.value("hybrid_override_pattern").and_then(Value::as_str) {
        let letters = pattern.chars().map(|letter| match letter {
            '*' => Ok(Layer::Full),
            'M' => Ok(Layer::Recurrent),
            '-' | 'E' => Ok(Layer::Stateless),
            other => Err(Refusal::Unknown(format!("hybrid_override_pattern: {other:?}"))),
        });
        return same_length(letters, count, "hybrid_override_pattern");
    }
    if let Some(Value::Array(indices)) = config.value("attn_layer_indices") {
        let indices: BTreeSet<u64> = indices.iter().filter_map(Value::as_u64).collect();
        return every(count, |layer| if indices.contains(&layer) { Layer::Full } else { Layer::Recurrent });
    }
    if let Some(Value::Array(types)) = config.value("attn_type_list") {
        let kinds = types.iter().map(|kind| match kind.as_u64() {
            Some(0) => Ok(Layer::Recurrent),
            Some(1) => Ok(Layer::Full),
            _ => Err(Refusal::Unknown(format!("attn_type_list: {kind}"))),
        });
        return same_length(kinds, count, "attn_type_list");
    }
    if config.value("full_attention_interval").is_some() {
        let interval = config.needed("full_attention_interval", &["full_attention_interval"])?;
        return every(count, |layer| if (layer + 1) % interval == 0 { Layer::Full } else { Layer::Recurrent });
    }
    if config.value("attn_layer_period").is_some() {
        let period = config.needed("attn_layer_period", &["attn_layer_period"])?;
        let offset = config.number(&["attn_layer_offset"])?.ok_or(Refusal::Missing("attn_layer_offset"))?;
        return every(count, |layer| if layer % period == offset { Layer::Full } else { Layer::Recurrent });
    }
    if let Some(key) = RECURRENT.iter().find(|key| config.value(key).is_some()) {
        return Err(Refusal::Unknown(format!("{key}: some layers are recurrent, and nothing says which")));
    }
    if config.value("attention_chunk_size").is_some() {
        return Err(Refusal::Unknown("attention_chunk_size: nothing says which layers attend to chunks".into()));
    }
    windows(config, count)
}

/// Sliding windows where no list tells the layers apart.
fn windows(config: &Config<'_>, count: u64) -> Result<Vec<Layer>, Refusal> {
    let switched_off = config.value("use_sliding_window") == Some(&Value::Bool(false));
    let window = config.number(&["sliding_window"])?.filter(|window| *window > 0 && !switched_off);
    let Some(window) = window else { return every(count, |_| Layer::Full) };
    if config.is("use_sliding_window") {
        // Qwen: the layers from this one on.
        let from = config.number(&["max_window_layers"])?.ok_or(Refusal::Missing("max_window_layers"))?;
        return every(count, |layer| if layer >= from { Layer::Sliding(window) } else { Layer::Full });
    }
    // The last of so many is full. These families leave the pattern to the code.
    let by_family = match config.text("model_type") {
        Some("gemma2" | "gpt_oss") => Some(2),
        Some("gemma3" | "gemma3_text") => Some(6),
        Some("cohere2") => Some(4),
        _ => None,
    };
    match config.number(&["sliding_window_pattern", "_sliding_window_pattern"])?.or(by_family) {
        Some(0) => Err(Refusal::Zero("sliding_window_pattern")),
        Some(pattern) => {
            every(count, |layer| if (layer + 1) % pattern == 0 { Layer::Full } else { Layer::Sliding(window) })
        }
        None => every(count, |_| Layer::Sliding(window)),
    }
}

fn every(count: u64, kind: impl Fn(u64) -> Layer) -> Result<Vec<Layer>, Refusal> {
    Ok((0..count).map(kind).collect())
}

fn same_length(
    kinds: impl Iterator<Item = Result<Layer, Refusal>>,
    count: u64,
    key: &str,
) -> Result<Vec<Layer>, Refusal> {
    let layers = kinds.collect::<Result<Vec<_>, _>>()?;
    if layers.len() as u64 == count {
        return Ok(layers);
    }
    Err(Refusal::Text(format!("{key} names {} layers of {count}", layers.len())))
}

fn named(config: &Config<'_>, name: &str) -> Result<Layer, Refusal> {
    let window = |name: &'static str| Ok(Layer::Sliding(config.needed(name, &[name])?));
    match name {
        "full_attention" | "attention" => Ok(Layer::Full),
        "sliding_attention" => window("sliding_window"),
        "chunked_attention" => window("attention_chunk_size"),
        "linear_attention" | "mamba" | "mamba2" | "recurrent" | "conv" => Ok(Layer::Recurrent),
        other => Err(Refusal::Unknown(format!("layers of the kind {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModelConfig;
    use super::*;

    fn layers(count: u64, keys: &str) -> Result<Vec<Layer>, Refusal> {
        let text = format!(r#"{{"num_hidden_layers":{count},"num_attention_heads":2,"head_dim":4,{keys}}}"#);
        ModelConfig::parse(&text).map(|model| model.layers)
    }

    #[test]
    fn windows_of_families() {
        let (full, window) = (Layer::Full, Layer::Sliding(8));
        let of = |count, keys| layers(count, keys).unwrap();
        assert_eq!(of(2, r#""sliding_window":null"#), [full; 2]);
        assert_eq!(of(2, r#""sliding_window":8"#), [window; 2]);
        assert_eq!(of(2, r#""sliding_window":8,"use_sliding_window":false"#), [full; 2]);
        assert_eq!(
            of(3, r#""sliding_window":8,"use_sliding_window":true,"max_window_layers":1"#),
            [full, window, window]
        );
        assert_eq!(of(4, r#""sliding_window":8,"model_type":"gemma2""#), [window, full, window, full]);
        assert_eq!(of(3, r#""sliding_window":8,"sliding_window_pattern":3"#), [window, window, full]);
        assert_eq!(
            of(2, r#""attention_chunk_size":8,"layer_types":["chunked_attention","full_attention"]"#),
            [window, full]
        );
    }

    #[test]
    fn recurrent_layers() {
        let (full, state) = (Layer::Full, Layer::Recurrent);
        let of = |keys| layers(4, keys).unwrap();
        assert_eq!(of(r#""full_attention_interval":4"#), [state, state, state, full]);
        assert_eq!(of(r#""attn_layer_period":2,"attn_layer_offset":1,"mamba_d_state":16"#), [state, full, state, full]);
        assert_eq!(of(r#""attn_type_list":[0,0,0,1]"#), [state, state, state, full]);
        assert_eq!(of(r#""attn_layer_indices":[0,9]"#), [full, state, state, state]);
        assert_eq!(of(r#""hybrid_override_pattern":"M-*E""#), [state, Layer::Stateless, full, Layer::Stateless]);
        assert_eq!(of(r#""layers_block_type":["mamba","attention","mamba","mamba"]"#), [state, full, state, state]);
    }

    #[test]
    fn what_nothing_tells_is_refused() {
        let refused = |keys| layers(2, keys).unwrap_err().to_string();
        assert!(refused(r#""mamba_d_state":16"#).contains("nothing says which"));
        assert!(refused(r#""attention_chunk_size":16"#).contains("nothing says which"));
        assert!(refused(r#""layer_types":["full_attention"]"#).contains("1 layers of 2"));
        assert!(refused(r#""layer_types":["full_attention","hybrid"]"#).contains("hybrid"));
        assert!(refused(r#""layer_types":["sliding_attention",7]"#).contains("sliding_window"));
        assert!(refused(r#""hybrid_override_pattern":"MX""#).contains('X'));
        assert!(refused(r#""sliding_window":8,"sliding_window_pattern":0"#).contains("zero"));
        assert!(refused(r#""full_attention_interval":0"#).contains("zero"));
    }
}
