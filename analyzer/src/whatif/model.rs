//! Another type of cache, or other ranks: what a token takes then, by the model's configuration.

use super::{Changing, Options, refuse};
use crate::failure::Failure;
use crate::settings::Setting;
use kvtrace_sizing::element::Element;
use kvtrace_sizing::model::{ModelConfig, Place};

/// In the order in which a run is likely to have used them.
const TYPES: [Element; 6] = [Element::Bf16, Element::Fp16, Element::Fp8, Element::Int8, Element::Nvfp4, Element::Fp32];

impl Changing<'_> {
    pub fn model(&mut self, options: &Options) -> Result<(), Failure> {
        let model = self.config(options)?;
        let Some(per_token) = self.inputs.bytes_per_token else {
            let hint = "trace it with `kvtrace run`, which keeps the log lines that say so";
            return Err(refuse(self.trace, "nothing tells the bytes of a token", hint));
        };
        let split = self.inputs.rule.split();
        let place = |tensor_parallel: u64, element: Element| Place { tensor_parallel, split, layers: None, element };
        let bytes = |ranks, element| model.kv(&place(ranks, element)).map(|size| size.bytes_per_token);
        // The type that the run used is the one with its bytes per token.
        let known = [model.cache_dtype, model.dtype].into_iter().flatten().chain(TYPES);
        let Some(now) = known.into_iter().find(|element| bytes(self.ranks, *element) == Ok(per_token)) else {
            let why = format!(
                "a token took {} bytes in this run, and by the model's configuration in no type",
                crate::render::grouped(per_token)
            );
            return Err(refuse(self.trace, why, "name the configuration of the model that was served: --model"));
        };
        let changes = &options.changes;
        let (ranks, element) = (changes.tp.unwrap_or(self.ranks), changes.kv_dtype.unwrap_or(now));
        let resized = bytes(ranks, element)
            .map_err(|refusal| refuse(self.trace, format!("the configuration gives no such cache: {refusal}"), ""))?;
        self.inputs.resize_token(resized);
        if changes.kv_dtype.is_some() {
            self.settings.extend(dtype_setting(self.decision.runtime, element));
        }
        match changes.tp {
            Some(_) if self.trace.integrated() == Some(true) => {
                let why = "ranks of one unified GPU share its memory: what each would find is not known";
                Err(refuse(self.trace, why, "--weights and --kv-dtype say what one process would get"))
            }
            Some(ranks) => self.ranks(ranks),
            None => Ok(()),
        }
    }

    /// Weights are divided among ranks; what else a process needs stays with each.
    fn ranks(&mut self, ranks: u64) -> Result<(), Failure> {
        let weights = self.attribution.as_ref().and_then(|found| found.terms.iter().find(|term| term.key == "weights"));
        let all = weights.map_or(0, |term| term.bytes.max(0)) * i128::from(self.ranks);
        let each = u64::try_from(all / i128::from(ranks)).unwrap_or(0);
        self.weights(each, "what is divided among ranks")?;
        self.notes.push(format!("figures of one of {ranks} ranks; activations and graphs are taken as they were"));
        let flag = match self.decision.runtime {
            "vLLM" => "--tensor-parallel-size",
            "SGLang" => "--tp",
            "TensorRT-LLM PyTorch V1" | "TensorRT-LLM PyTorch V2" => "--tp_size",
            _ => return Ok(()),
        };
        self.settings.push(Setting::new(flag, ranks.to_string()));
        Ok(())
    }

    /// Of `--model`, else of the trace.
    fn config(&self, options: &Options) -> Result<ModelConfig, Failure> {
        const HINT: &str = "name the config.json of a Hugging Face model: --model config.json";
        if let Some(path) = &options.model {
            let shown = path.display();
            let text =
                std::fs::read_to_string(path).map_err(|error| Failure::input(format!("{shown}: {error}"), HINT))?;
            return ModelConfig::parse(&text).map_err(|refusal| Failure::input(format!("{shown}: {refusal}"), HINT));
        }
        let texts = self.trace.weights.configs.iter().filter(|config| !config.text.is_empty());
        let mut configs = texts.filter_map(|config| ModelConfig::parse(&config.text).ok());
        configs.next().ok_or_else(|| refuse(self.trace, "the trace holds no configuration of the model", HINT))
    }
}

/// How a runtime is told the type of its cache.
fn dtype_setting(runtime: &str, element: Element) -> Option<Setting> {
    let flag = match runtime {
        "vLLM" | "SGLang" => "--kv-cache-dtype",
        "TensorRT-LLM PyTorch V1" | "TensorRT-LLM PyTorch V2" => "kv_cache_config.dtype",
        _ => return None,
    };
    let name = match (runtime, element) {
        (_, Element::Fp8) if runtime == "SGLang" => "fp8_e4m3",
        (_, Element::Fp8) => "fp8",
        (_, Element::Bf16) => "bfloat16",
        (_, Element::Fp16) => "float16",
        ("TensorRT-LLM PyTorch V1" | "TensorRT-LLM PyTorch V2", Element::Nvfp4) => "nvfp4",
        _ => return None,
    };
    Some(Setting::new(flag, name))
}
