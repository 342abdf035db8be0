//! A Hugging Face config.json.
//!
//! Read as the runtimes read it: the language model may be nested, names vary between families. What would make a
//! figure wrong in silence (shared or pruned caches, two head sizes, an index beside the cache) is refused by name.

use super::layers;
use super::{Attention, ModelConfig};
use crate::Refusal;
use crate::element::Element;
use serde_json::{Map, Value};

/// Larger files are no configurations.
const MOST_BYTES: usize = 4 << 20;
/// More of anything is no model: heads, elements, tokens.
const MOST: u64 = 1 << 40;
/// Where the language model of a model with several parts lies.
const NESTED: [&str; 4] = ["text_config", "llm_config", "language_config", "language_model_config"];

/// Keys that change what is cached in ways that no rule here covers, and what they mean.
const UNKNOWN: [(&str, &str); 14] = [
    ("index_head_dim", "a sparse-attention index is cached beside the KV cache"),
    ("compress_ratios", "the cache is compressed"),
    ("num_kv_shared_layers", "layers share their cache"),
    ("num_key_value_heads_per_layer", "KV heads differ between layers"),
    ("block_configs", "layers differ in their attention"),
    ("global_head_dim", "head sizes differ between layers"),
    ("num_global_key_value_heads", "KV heads differ between layers"),
    ("swa_num_key_value_heads", "KV heads differ between layers"),
    ("swa_head_dim", "head sizes differ between layers"),
    ("cross_attention_layers", "some layers attend to another model's output"),
    ("use_cla", "layers share their cache"),
    ("block_types", "a pattern of recurrent layers that is not known"),
    ("layer_group_size", "groups of linear attention that are not known"),
    ("linear_attn_config", "linear attention of a family that is not known"),
];

/// Families whose keys say less than their layers do.
const FAMILIES: [(&str, &str); 1] = [("longcat_flash", "each layer has two attentions")];

impl ModelConfig {
    /// Reads the text of a config.json. Any text gives an answer or a [`Refusal`].
    pub fn parse(text: &str) -> Result<ModelConfig, Refusal> {
        if text.len() > MOST_BYTES {
            return Err(Refusal::Text(format!("{} bytes are more than a configuration has", text.len())));
        }
        let root: Value = serde_json::from_str(text).map_err(|error| Refusal::Text(error.to_string()))?;
        let root = root.as_object().ok_or_else(|| Refusal::Text("it is no object".into()))?;
        let config = Config { root, part: part(root) };
        config.refuse_unknown()?;
        let count = config.needed("num_hidden_layers", &["num_hidden_layers", "n_layer", "n_layers", "num_layers"])?;
        Ok(ModelConfig {
            kind: config.text("model_type").map(str::to_owned),
            attention: config.attention()?,
            query_heads: config.query_heads()?,
            layers: layers::of(&config, count)?,
            dtype: ["torch_dtype", "dtype"].iter().find_map(|key| Element::named(config.text(key)?)),
            cache_dtype: config.cache_dtype(),
            context: config.number(&["max_position_embeddings", "n_positions", "max_seq_len", "seq_length"])?,
        })
    }
}

/// The part of the object that describes the language model.
fn part(root: &Map<String, Value>) -> &Map<String, Value> {
    let described = |part: &&Map<String, Value>| part.contains_key("num_hidden_layers");
    NESTED.iter().filter_map(|key| root.get(*key)?.as_object()).find(described).unwrap_or(root)
}

/// A configuration's keys.
pub(super) struct Config<'c> {
    root: &'c Map<String, Value>,
    part: &'c Map<String, Value>,
}

impl<'c> Config<'c> {
    /// A value that is there and not null.
    pub(super) fn value(&self, key: &str) -> Option<&'c Value> {
        self.part.get(key).filter(|value| !value.is_null())
    }

    /// A text, of the part or else of the whole.
    pub(super) fn text(&self, key: &str) -> Option<&'c str> {
        self.value(key).or_else(|| self.root.get(key))?.as_str()
    }

    /// Whether a key is true.
    pub(super) fn is(&self, key: &str) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The first of `keys` that is there, as a number.
    pub(super) fn number(&self, keys: &[&'static str]) -> Result<Option<u64>, Refusal> {
        let Some((key, value)) = keys.iter().find_map(|key| Some((key, self.value(key)?))) else {
            return Ok(None);
        };
        match value.as_u64().filter(|number| *number <= MOST) {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::Text(format!("{key} is no number that a model has"))),
        }
    }

    /// Such a number, above 0.
    pub(super) fn needed(&self, name: &'static str, keys: &[&'static str]) -> Result<u64, Refusal> {
        match self.number(keys)? {
            Some(0) => Err(Refusal::Zero(name)),
            Some(number) => Ok(number),
            None => Err(Refusal::Missing(name)),
        }
    }

    fn refuse_unknown(&self) -> Result<(), Refusal> {
        if self.is("is_encoder_decoder") {
            return Err(Refusal::Unknown("the model has an encoder and a decoder".into()));
        }
        let family = |(name, _): &&(&str, &str)| self.text("model_type") == Some(name);
        if let Some((name, why)) = FAMILIES.iter().find(family) {
            return Err(Refusal::Unknown(format!("{name}: {why}")));
        }
        for (key, why) in UNKNOWN {
            let empty = |value: &Value| {
                value.as_u64() == Some(0) || value.as_array().is_some_and(Vec::is_empty) || *value == Value::Bool(false)
            };
            if self.value(key).is_some_and(|value| !empty(value)) {
                return Err(Refusal::Unknown(format!("{key}: {why}")));
            }
        }
        Ok(())
    }

    fn query_heads(&self) -> Result<Option<u64>, Refusal> {
        self.number(&["num_attention_heads", "n_head", "n_heads"])
    }

    fn attention(&self) -> Result<Attention, Refusal> {
        if let Some(rank) = self.number(&["kv_lora_rank"])? {
            let rope = self.number(&["qk_rope_head_dim"])?.ok_or(Refusal::Missing("qk_rope_head_dim"))?;
            if rank == 0 {
                return Err(Refusal::Zero("kv_lora_rank"));
            }
            return Ok(Attention::Latent { rank, rope });
        }
        const HEADS: [&str; 4] = ["num_key_value_heads", "num_kv_heads", "multi_query_group_num", "n_head_kv"];
        if HEADS.iter().any(|key| self.value(key).is_some_and(Value::is_array)) {
            return Err(Refusal::Unknown("KV heads differ between layers".into()));
        }
        // MPT and DBRX nest it.
        let nested = self.value("attn_config").and_then(|part| part.get("kv_n_heads"));
        let nested = nested.and_then(Value::as_u64).filter(|heads| *heads <= MOST);
        let query_heads = self.query_heads()?.filter(|heads| *heads > 0);
        let query_heads = query_heads.ok_or(Refusal::Missing("num_attention_heads"));
        let kv_heads = match self.number(&HEADS)?.or(nested) {
            _ if self.is("multi_query") && !self.is("new_decoder_architecture") => 1,
            Some(0) => return Err(Refusal::Zero("num_key_value_heads")),
            Some(heads) => heads,
            None => query_heads.clone()?,
        };
        let head_dim = match self.number(&["head_dim", "attention_head_dim", "kv_channels"])? {
            Some(elements) => elements,
            None => self.needed("hidden_size", &["hidden_size", "n_embd", "d_model"])? / query_heads?,
        };
        if head_dim == 0 {
            return Err(Refusal::Zero("head_dim"));
        }
        match self.number(&["v_head_dim"])? {
            Some(elements) if elements != head_dim => {
                Err(Refusal::Unknown(format!("v_head_dim: K has {head_dim} elements, V {elements}")))
            }
            _ => Ok(Attention::Heads { kv_heads, head_dim }),
        }
    }

    /// What the checkpoint's quantisation says of the cache.
    fn cache_dtype(&self) -> Option<Element> {
        let find = |part: &'c Map<String, Value>| part.get("quantization_config")?.as_object();
        let quantised = find(self.part).or_else(|| find(self.root))?;
        if let Some(name) = quantised.get("kv_cache_quant_algo").and_then(Value::as_str) {
            return Element::named(name);
        }
        let scheme = quantised.get("kv_cache_scheme")?.as_object()?;
        let bits = scheme.get("num_bits")?.as_u64()?;
        match (bits, scheme.get("type").and_then(Value::as_str)) {
            (8, Some("float")) => Some(Element::Fp8),
            (8, Some("int")) => Some(Element::Int8),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layer, Place};
    use super::*;

    fn kv(text: &str) -> (u64, ModelConfig) {
        let model = ModelConfig::parse(text).unwrap();
        (model.kv(&Place::whole(Element::Bf16)).unwrap().bytes_per_token, model)
    }

    #[test]
    fn grouped_query_attention() {
        let (bytes, model) =
            kv(r#"{"model_type":"qwen2","hidden_size":3584,"num_attention_heads":28,"num_hidden_layers":28,
            "num_key_value_heads":4,"torch_dtype":"bfloat16","max_position_embeddings":131072,
            "sliding_window":4096,"use_sliding_window":false,"max_window_layers":28}"#);
        assert_eq!((bytes, model.dtype, model.context), (57_344, Some(Element::Bf16), Some(131_072)));
        assert_eq!((model.kind.as_deref(), model.query_heads), (Some("qwen2"), Some(28)));
        assert_eq!(kv(r#"{"n_layer":12,"n_head":12,"n_embd":768}"#).0, 2 * 12 * 768 * 2);
        assert_eq!(kv(r#"{"n_layer":12,"n_head":12,"n_embd":768,"multi_query":true}"#).0, 2 * 12 * 64 * 2);
        let nested = r#"{"n_layers":40,"n_heads":48,"d_model":6144,"attn_config":{"kv_n_heads":8}}"#;
        assert_eq!(kv(nested).0, 2 * 40 * 8 * 128 * 2);
    }

    #[test]
    fn sliding_windows() {
        let types = ["\"sliding_attention\",\"full_attention\""; 18].join(",");
        let text = format!(
            r#"{{"model_type":"gpt_oss","num_hidden_layers":36,"num_attention_heads":64,"num_key_value_heads":8,
            "head_dim":64,"hidden_size":2880,"sliding_window":128,"layer_types":[{types}]}}"#
        );
        let (bytes, model) = kv(&text);
        assert_eq!((bytes, model.layers[0], model.layers[1]), (73_728, Layer::Sliding(128), Layer::Full));
    }

    #[test]
    fn latent_attention() {
        let text = r#"{"num_hidden_layers":61,"num_attention_heads":128,"num_key_value_heads":128,"hidden_size":7168,
            "kv_lora_rank":512,"qk_rope_head_dim":64,"v_head_dim":128,
            "quantization_config":{"kv_cache_scheme":{"num_bits":8,"type":"float"}}}"#;
        let (bytes, model) = kv(text);
        assert_eq!((bytes, model.cache_dtype), (70_272, Some(Element::Fp8)));
    }

    #[test]
    fn a_nested_language_model() {
        let text = r#"{"architectures":["X"],"dtype":"bfloat16","vision_config":{"num_hidden_layers":3},
            "text_config":{"num_hidden_layers":2,"num_attention_heads":4,"head_dim":8},
            "quantization_config":{"kv_cache_quant_algo":"NVFP4"}}"#;
        let (bytes, model) = kv(text);
        assert_eq!(
            (bytes, model.dtype, model.cache_dtype),
            (2 * 2 * 4 * 8 * 2, Some(Element::Bf16), Some(Element::Nvfp4))
        );
    }

    #[test]
    fn what_is_refused_says_why() {
        let refused = |text: &str| ModelConfig::parse(text).unwrap_err().to_string();
        assert!(refused("{").starts_with("not a model configuration: "));
        assert_eq!(refused("[]"), "not a model configuration: it is no object");
        assert_eq!(refused("{}"), "num_hidden_layers is missing");
        assert_eq!(refused(r#"{"num_hidden_layers":0}"#), "num_hidden_layers is zero");
        assert!(refused(r#"{"num_hidden_layers":-1}"#).contains("num_hidden_layers is no number"));
        assert_eq!(refused(r#"{"num_hidden_layers":1}"#), "num_attention_heads is missing");
        assert!(refused(r#"{"num_hidden_layers":9999999,"num_attention_heads":1,"head_dim":1}"#).contains("layers"));
        let more =
            |keys: &str| refused(&format!(r#"{{"num_hidden_layers":2,"num_attention_heads":2,"head_dim":4,{keys}}}"#));
        assert!(more(r#""index_head_dim":128"#).contains("index"));
        assert!(more(r#""use_cla":true"#).contains("share") && more(r#""model_type":"longcat_flash""#).contains("two"));
        assert!(more(r#""is_encoder_decoder":true"#).contains("encoder"));
        assert!(more(r#""num_key_value_heads":[1,2]"#).contains("differ"));
        assert!(more(r#""v_head_dim":5"#).contains("v_head_dim"));
        assert!(more(r#""kv_lora_rank":5"#).contains("qk_rope_head_dim"));
        assert!(refused(&" ".repeat(MOST_BYTES + 1)).contains("bytes"));
        assert!(refused(&"[".repeat(100_000)).contains("recursion"));
    }
}
