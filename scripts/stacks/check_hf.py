"""Hugging Face transformers with accelerate: a random model spread by `device_map` over two devices of unlike size."""

import os
import sys


def spread():
    import torch
    import transformers
    from accelerate import dispatch_model, infer_auto_device_map, init_empty_weights
    from accelerate.utils import get_balanced_memory, get_max_memory

    config = transformers.Qwen2Config(
        hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4,
        vocab_size=152064, tie_word_embeddings=False, max_position_embeddings=32768,
    )
    with init_empty_weights():
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    print("memory that accelerate sees:", get_max_memory())
    kept = model._no_split_modules
    limits = get_balanced_memory(model, dtype=torch.bfloat16, no_split_module_classes=list(kept))
    placed = infer_auto_device_map(model, max_memory=limits, dtype=torch.bfloat16, no_split_module_classes=list(kept))
    print("devices used:", sorted(set(map(str, placed.values()))))
    for name, place in placed.items():
        model.get_submodule(name).to_empty(device=place)
    model = dispatch_model(model.eval(), placed)
    for device in range(torch.cuda.device_count()):
        print("allocated", device, torch.cuda.memory_allocated(device), torch.cuda.mem_get_info(device)[1])
    with torch.inference_mode():
        logits = model(torch.zeros(1, 1024, dtype=torch.long, device="cuda:0"), use_cache=True).logits
    torch.cuda.synchronize()
    print("forward", tuple(logits.shape), logits.device)


def check():
    import re

    from stack import GIB, must, run

    import transformers

    print("transformers", transformers.__version__)
    for name, devices in [("one", "h100-80"), ("two", "l4,l4")]:
        log, trace = run(name, "h100-80", [sys.executable, __file__, "spread"], KVTRACE_SIM_DEVICES=devices)
        said = (line for line in log.splitlines() if re.match("memory that|devices|allocated|forward", line))
        print("  " + "\n  ".join(said))
        weights = sum(int(number) for number in re.findall(r"^allocated \d (\d+)", log, re.M))
        must("weights are those of 7.6 billion parameters in 16 bits", 14.1 < weights / GIB < 14.4)
        live = {}
        for event in trace.calls_in_order():
            if event["ev"] == "alloc" and event["rc"] == 0:
                live[event["dev"]] = live.get(event["dev"], 0) + event["size"]
        must("memory of each device is in the trace", len(live) == devices.count(",") + 1)
        must("the forward ran", "forward (1, 1024, 152064)" in log)


if __name__ == "__main__":
    if sys.argv[1] == "spread":
        spread()
    else:
        sys.path.insert(0, os.path.dirname(__file__))
        check()
