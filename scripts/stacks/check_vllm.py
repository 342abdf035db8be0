"""vLLM: the engine's start to its "GPU KV cache size" line on a discrete and on a unified GPU, the server to /health,
and two ranks of tensor parallelism. The figures that it logs are compared with its own events."""

import os
import re
import socket
import sys
import urllib.request

UTILIZATION = 0.9
LENGTH = 8192
# Without nvcc the sampler and the products of these two cannot be built.
NO_COMPILER = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0", "VLLM_NO_USAGE_STATS": "1"}


def engine(path, utilization, ranks, eager):
    from vllm import LLM

    LLM(
        model=path, load_format="dummy", skip_tokenizer_init=True, enforce_eager=eager, max_model_len=LENGTH,
        gpu_memory_utilization=utilization, tensor_parallel_size=ranks,
    )
    print("engine is up")


def figures(name, log, trace, utilization, ranks=1, per_token=None):
    """What the log says of the KV cache against what the events say."""
    from stack import BYTES_PER_TOKEN, GIB, find, must, same

    available = find(r"Available KV cache memory: ([\d.]+) GiB", log)
    tokens = find(r"GPU KV cache size: ([\d,]+) tokens", log)
    per_token = (per_token or BYTES_PER_TOKEN) // ranks
    asking = [events for events in trace.processes if len(trace.queries(events)) > 1]
    must(f"{ranks} processes asked for memory", len(asking) == ranks)
    for process in asking:
        queries = trace.queries(process)
        total = queries[0]["total"]
        # The KV cache: the run of equal allocations, or the one, that makes up what was available.
        allocated = [e for e in process if e["ev"] == "alloc" and e.get("layer") == "driver" and e["rc"] == 0
                     and e.get("kind") == "device"]
        wanted = float(available) * GIB
        for size in sorted({e["size"] for e in allocated}, reverse=True):
            count = sum(e["size"] == size for e in allocated)
            # PyTorch rounds each tensor up to whole segments.
            slack = count * (2 << 20) if count > 1 else 0
            if -0.02 * GIB < size * count - wanted < 0.02 * GIB + slack:
                break
        else:
            must(f"there is an allocation of {available} GiB", False)
        first = next(e for e in allocated if e["size"] == size)
        before = [q for q in queries if q["t"] < first["t"]]
        print(f"  {name}: total {total / GIB:.2f} GiB, free {queries[0]['free'] / GIB:.2f} at first and "
              f"{before[-1]['free'] / GIB:.2f} at last; KV cache {count} x {size} bytes")
        same("available for the KV cache, GiB", size * count / GIB, available, 0.012 + slack / GIB)
        # Where half of the layers hold a window, a group of blocks may stay unfilled.
        windows = size * count / per_token / 500 if "oss" in name else 0
        same("tokens", size * count / per_token, tokens, LENGTH / 8 + slack / per_token + windows)
        # Versions before 0.3x do not say it.
        peak = re.search(r"([\d.]+) GiB for peak activation", log)
        if not peak:
            continue
        # At first, after the weights, and after the profiling forward; what follows measures graphs.
        free = [q["free"] for q in before][:3]
        if "unified" in name:
            # Free is MemAvailable: what stood in the files that it opened beside the queries.
            free = [e["meminfo"]["MemAvailable"] for e in process
                    if e["ev"] == "view" and "meminfo" in e and queries[0]["t"] <= e["t"] <= first["t"]]
        by_hand = utilization * total - (free[0] - free[-1]) - float(peak[1]) * GIB
        same("utilization x total - what free lost - peak as logged, GiB", by_hand / GIB, available, 0.02)
    must("the device says that it is simulated", all("simulated" in device for device in trace.device_names()))


def check():
    from stack import FOLDER, bytes_per_token, model, run, wanted

    import vllm

    print("vLLM", vllm.__version__)
    path = str(model(FOLDER / "model"))

    def start(name, gpu, utilization=UTILIZATION, ranks=1, eager=True, of="qwen2-7b", **more):
        if not wanted(name):
            return
        path = str(model(FOLDER / of, of))
        command = [sys.executable, __file__, "engine", path, str(utilization), str(ranks), str(int(eager))]
        log, trace = run(name, gpu, command, **NO_COMPILER, **more)
        if log is None:
            print(f"{name}: skipped: MemAvailable grew while vLLM watched it")
            return
        figures(name, log, trace, utilization, ranks, bytes_per_token(of))

    start("discrete", "h100-80")
    start("graphs", "h100-80", eager=False)
    # It does not bear that MemAvailable grows, which what any program of this machine gives back makes it do.
    start("unified", "gb10", again="Error in memory profiling")
    start("72b", "h200", ranks=2, of="qwen2.5-72b", KVTRACE_SIM_DEVICES="2")
    start("gpt-oss", "b200", of="gpt-oss-120b")
    if wanted("serve"):
        serve(path)
    start("two-ranks", "h100-80", ranks=2, KVTRACE_SIM_DEVICES="2")


def serve(path):
    from stack import must, run

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def healthy():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200
        except OSError:
            return False

    seen = []
    command = [os.path.join(os.path.dirname(sys.executable), "vllm"), "serve", path, "--load-format", "dummy",
               "--skip-tokenizer-init", "--enforce-eager", "--max-model-len", str(LENGTH), "--port", str(port),
               "--gpu-memory-utilization", str(UTILIZATION)]
    log, trace = run("serve", "h100-80", command, until=lambda: healthy() and not seen.append(1), **NO_COMPILER)
    if not seen:
        print("\n".join(log.splitlines()[-25:]))
    must("/health answers", bool(seen))
    figures("serve", log, trace, UTILIZATION)


if __name__ == "__main__":
    if sys.argv[1] == "engine":
        engine(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "1")
    else:
        sys.path.insert(0, os.path.dirname(__file__))
        check()
