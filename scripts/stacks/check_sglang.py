"""SGLang: the server with dummy weights on a discrete GPU to /health. The KV cache that it logs is compared with its
own allocations."""

import os
import pathlib
import socket
import sys
import urllib.request


def check():
    import re

    from stack import BYTES_PER_TOKEN, FOLDER, GIB, fail, find, model, must, run, same

    import sglang

    print("SGLang", sglang.__version__)
    path = str(model(FOLDER / "model"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def healthy():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200
        except OSError:
            return False

    seen = []
    # A forward does not work: FlashInfer's kernels are loaded by way of a runtime that wants a real driver. So no
    # request may be made, neither to warm up nor by /health. Neither nvcc nor a tokenizer is there.
    command = [sys.executable, "-m", "sglang.launch_server", "--model-path", path, "--load-format", "dummy",
               "--skip-tokenizer-init", "--disable-cuda-graph", "--skip-server-warmup", "--attention-backend", "triton",
               "--sampling-backend", "pytorch", "--grammar-backend", "none", "--port", str(port),
               "--context-length", "8192"]
    # Its DeepGEMM looks for a toolkit when it is imported, and takes the wheels' own.
    toolkit = next(pathlib.Path(place, "nvidia/cu13") for place in sys.path if os.path.isdir(f"{place}/nvidia/cu13"))
    log, trace = run("serve", "h100-80", command, until=lambda: healthy() and not seen.append(1), timeout=600,
                     CUDA_HOME=str(toolkit), SGLANG_ENABLE_JIT_DEEPGEMM="0",
                     SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION="false")
    if not seen:
        print("\n".join(line[:300] for line in log.splitlines()[-25:]))
    said = (line[:200] for line in log.splitlines() if re.search(r"KV Cache|max_total_num_tokens=|Load weight", line))
    print("  " + "\n  ".join(said))
    tokens = int(find(r"max_total_num_tokens=(\d+)", log))
    fraction = find(r"mem_fraction_static'?[=:] ?([\d.]+)", log)
    total = max(q["total"] for events in trace.processes for q in trace.queries(events))
    sizes = {}
    for event in trace.calls_in_order():
        if event["ev"] == "alloc" and event["rc"] == 0:
            sizes[event["size"]] = sizes.get(event["size"], 0) + 1
    for size, count in sorted(sizes.items(), reverse=True):
        if abs(size * count - tokens * BYTES_PER_TOKEN) < 0.02 * GIB + count * (2 << 20):
            print(f"  KV cache: {count} allocations of {size} bytes; fraction {fraction} of {total / GIB:.2f} GiB")
            same("tokens", size * count / BYTES_PER_TOKEN, tokens, 56 * (2 << 20) / BYTES_PER_TOKEN)
            break
    else:
        fail(f"no allocations make up {tokens} tokens")
    must("/health answers", bool(seen))


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(__file__))
    check()
