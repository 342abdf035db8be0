"""What the checks of real stacks have in common: a program under the preload on a simulated GPU, and its trace."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

KIT = pathlib.Path(os.environ["KVTRACE_KIT"])
SIM = KIT / "lib/sim"
GIB = 1 << 30
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None


def environment(folder, gpu, cuda=13, **more):
    """The environment of a program that shall see the simulated GPU, traced into `folder`."""
    rows = (line.split() for line in (SIM / "preload").read_text().splitlines())
    libraries = [str(SIM / library) for major, library in rows if int(major) == cuda]
    return os.environ | {
        # The real libraries are found by paths inside the wheels, which only a loaded library of the same name beats.
        "LD_PRELOAD": " ".join([str(KIT / "lib/libkvtrace.so"), *libraries]),
        "LD_LIBRARY_PATH": str(SIM),
        "TRITON_LIBCUDA_PATH": str(SIM),
        "KVTRACE_OUT": str(folder / "trace"),
        "KVTRACE_SIM_STATE": str(folder / "gpu.state"),
        "KVTRACE_SIM_GPU": gpu,
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    } | more


def wanted(name):
    """Whether a part of a check is to run: all are, unless KVTRACE_STACK_PARTS names some."""
    parts = os.environ.get("KVTRACE_STACK_PARTS")
    return not parts or name in parts.split(",")


def run(name, gpu, command, timeout=900, until=None, again=None, tries=3, **more):
    """Runs `command`, and returns its log and its trace. With `until`, ends it once that gives true. A failure whose
    log has `again` in it is the machine's: it is tried again, and then given up, with no log and no trace."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = time.monotonic()
    with open(folder / "log", "w+") as log:
        child = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment(folder, gpu, **more), cwd=folder,
            start_new_session=True,
        )
        while child.poll() is None:
            if time.monotonic() - begun > timeout or (until and until()):
                # The whole group: servers have workers.
                os.killpg(child.pid, 15)
                try:
                    child.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(child.pid, 9)
                break
            time.sleep(0.5)
        child.wait()
    text = (folder / "log").read_text(errors="replace")
    if until is None and child.returncode != 0 and again and again in text:
        print(f"{name}: {again!r}")
        return run(name, gpu, command, timeout, until, again, tries - 1, **more) if tries > 1 else (None, None)
    if until is None and child.returncode != 0:
        print("\n".join(text.splitlines()[-25:]))
        fail(f"{name}: exit {child.returncode} after {time.monotonic() - begun:.0f} s")
    print(f"{name}: {time.monotonic() - begun:.0f} s")
    return text, Trace(folder / "trace")


class Trace:
    """The events of a run, by process."""

    def __init__(self, folder):
        self.processes = []
        for path in sorted(folder.glob("*.jsonl")):
            lines = path.read_text(errors="replace").splitlines()
            # The last line of a process that was killed may be torn.
            self.processes.append([json.loads(line) for line in lines if line.endswith("}")])

    def calls(self, event, layer="driver"):
        """The events of one kind, one list for each process that has any."""
        chosen = ([e for e in events if e["ev"] == event and e.get("layer") == layer] for events in self.processes)
        return [events for events in chosen if events]

    def calls_in_order(self):
        """Allocations and frees of device memory, as the driver saw them, of all processes."""
        events = [e for events in self.processes for e in events if e["ev"] in ("alloc", "free")]
        device = (e for e in events if e.get("layer") == "driver" and e.get("kind") != "host")
        return sorted(device, key=lambda e: e["t"])

    def queries(self, process):
        """Memory figures that the driver gave."""
        asked = (e for e in process if e["ev"] == "query" and e.get("layer") == "driver")
        return [e for e in asked if e.get("rc") == 0 and "free" in e]

    def device_names(self):
        return {e["name"] for events in self.processes for e in events if e["ev"] == "device" and "name" in e}


def find(pattern, text):
    """The last match of a pattern in a log; numbers without their commas."""
    found = re.findall(pattern, text)
    if not found:
        fail(f"no line like {pattern!r} in the log")
    last = found[-1]
    return last.replace(",", "") if isinstance(last, str) else tuple(word.replace(",", "") for word in last)


def same(what, ours, theirs, within):
    print(f"  {what}: by our events {ours:.4f}, by its log {theirs}")
    if abs(ours - float(theirs)) > within:
        fail(f"{what}: {ours} is not {theirs}")


def must(what, holds):
    print(f"  {what}: {'yes' if holds else 'NO'}")
    if not holds:
        fail(what)


def fail(why):
    print(f"FAILED: {why}", file=sys.stderr)
    sys.exit(1)


QWEN = dict(
    architectures=["Qwen2ForCausalLM"], model_type="qwen2", vocab_size=152064, max_position_embeddings=32768, rms_norm_eps=1e-6,
    rope_theta=1e6, torch_dtype="bfloat16", hidden_act="silu", tie_word_embeddings=False, bos_token_id=151643,
    eos_token_id=151645, use_sliding_window=False,
)
MODELS = {
    "qwen2-7b": QWEN | dict(
        hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4),
    "qwen2.5-72b": QWEN | dict(
        hidden_size=8192, intermediate_size=29568, num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=8),
    "gpt-oss-120b": dict(
        architectures=["GptOssForCausalLM"], model_type="gpt_oss", hidden_size=2880, intermediate_size=2880, num_hidden_layers=36,
        num_attention_heads=64, num_key_value_heads=8, head_dim=64, vocab_size=201088, num_local_experts=128,
        num_experts_per_tok=4, experts_per_token=4, max_position_embeddings=131072, initial_context_length=4096,
        rms_norm_eps=1e-5, rope_theta=150000, hidden_act="silu", swiglu_limit=7.0, attention_bias=True, attention_dropout=0.0,
        sliding_window=128, layer_types=["sliding_attention", "full_attention"] * 18, tie_word_embeddings=False,
        torch_dtype="bfloat16", eos_token_id=200002, pad_token_id=199999, router_aux_loss_coef=0.9, output_router_logits=False,
        rope_scaling=dict(rope_type="yarn", factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
                          original_max_position_embeddings=4096),
        quantization_config=dict(
            quant_method="mxfp4",
            modules_to_not_convert=["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]),
    ),
}


def bytes_per_token(name):
    """Of KV cache in 16 bits, all layers."""
    shape = MODELS[name]
    head = shape.get("head_dim", shape["hidden_size"] // shape["num_attention_heads"])
    return shape["num_hidden_layers"] * 2 * shape["num_key_value_heads"] * head * 2


def model(folder, name="qwen2-7b"):
    """A folder with the config.json of a model, and no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(MODELS[name]))
    return folder


BYTES_PER_TOKEN = bytes_per_token("qwen2-7b")
