"""PyTorch: allocator, transformer forward and a KV cache to 90 %, convolutions, transforms, solvers, compilation, CUDA
graphs, and two ranks of NCCL on two devices."""

import os
import sys

PARTS = {}


def part(function):
    PARTS[function.__name__] = function
    return function


@part
def memory():
    """A forward of 24 layers in bfloat16, then blocks of KV cache to 90 % of the device."""
    import torch

    def block():
        return torch.nn.TransformerEncoderLayer(4096, 32, 11008, batch_first=True, device="cuda", dtype=torch.bfloat16)

    with torch.inference_mode():
        layers = [block() for _ in range(24)]
        weights = torch.cuda.memory_allocated()
        x = torch.zeros(1, 8192, 4096, device="cuda", dtype=torch.bfloat16)
        for layer in layers:
            x = layer.linear2(torch.nn.functional.gelu(layer.linear1(layer.norm1(x))))
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
        free, total = torch.cuda.mem_get_info()
        blocks = []
        while torch.cuda.memory_reserved() < 0.9 * total:
            blocks.append(torch.empty(1 << 30, dtype=torch.int8, device="cuda"))
        print(f"weights {weights} peak {peak} reserved {torch.cuda.memory_reserved()} total {total}")
        try:
            torch.empty(total, dtype=torch.int8, device="cuda")
            sys.exit("more than there is was given")
        except torch.OutOfMemoryError as error:
            print("out of memory, in PyTorch's words:", str(error)[:90])


@part
def libraries():
    import torch

    d = "cuda"
    x = torch.randn(64, 64, device=d)
    image = torch.randn(2, 3, 32, 32, device=d)
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1).to(d)
    steps = {
        "matmul": lambda: x @ x,
        "linear bf16": lambda: torch.nn.Linear(64, 64, device=d, dtype=torch.bfloat16)(x.bfloat16()),
        "addmm with bias and gelu": lambda: torch._addmm_activation(x[0], x, x, use_gelu=True),
        "int8 matmul": lambda: torch._int_mm(x.to(torch.int8), x.to(torch.int8)),
        "fp8 matmul": lambda: torch._scaled_mm(
            x.to(torch.float8_e4m3fn), x.to(torch.float8_e4m3fn).t(), scale_a=torch.ones((), device=d),
            scale_b=torch.ones((), device=d), out_dtype=torch.bfloat16),
        "conv2d": lambda: convolution(image),
        "conv2d backward": lambda: convolution(image).sum().backward(),
        "batch norm": lambda: torch.nn.BatchNorm2d(3).to(d)(image),
        "fft": lambda: torch.fft.fft(x),
        "rfft2": lambda: torch.fft.rfft2(x),
        "svd": lambda: torch.linalg.svd(x),
        "solve": lambda: torch.linalg.solve(x, x),
        "cholesky": lambda: torch.linalg.cholesky(x),
        "qr": lambda: torch.linalg.qr(x),
        "eigh": lambda: torch.linalg.eigh(x),
        "sparse csr": lambda: torch.sparse.mm(x.to_sparse_csr(), x),
        "attention": lambda: torch.nn.functional.scaled_dot_product_attention(
            *[torch.randn(1, 8, 128, 64, device=d, dtype=torch.bfloat16)] * 3),
    }
    for name, step in steps.items():
        step()
        torch.cuda.synchronize()
        print(name, "ok")
    try:
        torch.nn.LSTM(8, 8).to(d)(torch.randn(3, 2, 8, device=d))
        sys.exit("cuDNN's recurrent networks are said to be refused")
    except RuntimeError as error:
        print("lstm refused:", str(error)[:60])


@part
def compiled():
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.GELU(), torch.nn.Linear(256, 256)).cuda()
    x = torch.randn(8, 256, device="cuda")
    print("compiled", torch.compile(model)(x).shape)
    print("compiled with CUDA graphs", torch.compile(model, mode="reduce-overhead")(x).shape)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = model(x)
    graph.replay()
    torch.cuda.synchronize()
    print("graph captured and replayed", y.shape)


def rank(number, port):
    import torch
    import torch.distributed as dist

    torch.cuda.set_device(number)
    dist.init_process_group("nccl", init_method=f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    x = torch.ones(1 << 20, device="cuda")
    dist.all_reduce(x)
    dist.all_gather_into_tensor(torch.empty(2 << 20, device="cuda"), x)
    dist.barrier()
    dist.all_reduce(x, group=dist.new_group([0, 1]))
    torch.cuda.synchronize()
    print("rank", number, "on", torch.cuda.get_device_name(), flush=True)
    dist.destroy_process_group()


@part
def ranks():
    import socket

    import torch
    import torch.multiprocessing

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert torch.cuda.device_count() == 2
    torch.multiprocessing.spawn(rank, args=(port,), nprocs=2)


def check():
    from stack import GIB, fail, find, must, run

    import torch

    print("PyTorch", torch.__version__)
    major = int(torch.version.cuda.split(".")[0])
    for gpu in ["h100-80", "l4"]:
        log, trace = run(f"memory-{gpu}", gpu, [sys.executable, __file__, "part", "memory"], cuda=major)
        weights, peak, reserved, total = map(int, find(r"weights (\d+) peak (\d+) reserved (\d+) total (\d+)", log))
        asked = [e for events in trace.calls("query", "driver") for e in events if "total" in e and "free" in e]
        must("total as the driver said", all(e["total"] == total for e in asked) and asked)
        # What is live at the last moment before the failure: by what the driver gave and took.
        live = most = 0
        sizes = {}
        for event in trace.calls_in_order():
            if event["ev"] == "alloc" and event["rc"] == 0 and event.get("mod", "").find("libcublas") < 0:
                sizes[event["ptr"]] = event["size"]
                live += event["size"]
                most = max(most, live)
            elif event["ev"] == "free" and event["rc"] == 0:
                live -= sizes.pop(event["ptr"], 0)
        print(f"  weights {weights / GIB:.3f}, peak {peak / GIB:.3f}, "
              f"reserved {reserved / GIB:.3f} of {total / GIB:.2f} GiB")
        must("reserved is what the trace holds", abs(most - reserved) <= 64 << 20)
    for name, devices in [("libraries", "1"), ("compiled", "1"), ("ranks", "h100-80,l4")]:
        log, _ = run(name, "h100-80", [sys.executable, __file__, "part", name], cuda=major, KVTRACE_SIM_DEVICES=devices)
        print("  " + "\n  ".join(line for line in log.splitlines() if "Warn" not in line and not line.startswith("  ")))
    if "rank 1 on NVIDIA L4 (simulated" not in log:
        fail("the second rank is not on the second device")


if __name__ == "__main__":
    if sys.argv[1] == "part":
        PARTS[sys.argv[2]]()
    else:
        sys.path.insert(0, os.path.dirname(__file__))
        check()
