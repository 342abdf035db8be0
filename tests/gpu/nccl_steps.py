"""Two processes on two GPUs that work together through NCCL; argv[1] is where each rank puts its steps."""

import json
import os
import sys

import torch
import torch.distributed as dist

MIB = 1 << 20


def serve(rank, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
    torch.cuda.set_device(rank)
    steps = open(f"{folder}/rank-{rank}.steps", "w")

    def step(name, loads=False):
        torch.cuda.synchronize()
        dist.barrier()
        torch.cuda.synchronize()
        free, total = torch.cuda.mem_get_info()
        reserved = torch.cuda.memory_reserved()
        print(json.dumps({"step": name, "free": free, "total": total, "reserved": reserved, "loads": loads,
                          "pid": os.getpid()}), file=steps, flush=True)
        dist.barrier()

    dist.init_process_group("nccl", rank=rank, world_size=2, device_id=torch.device("cuda", rank))
    dist.barrier()
    step("a communicator, used once")
    kept = torch.full((256 * MIB,), rank + 1, dtype=torch.uint8, device="cuda")
    step("256 MiB", loads=True)
    dist.all_reduce(kept)
    assert kept[:5].tolist() == [3] * 5, kept[:5]
    step("reduced together", loads=True)
    more = [torch.empty_like(kept) for _ in range(2)]
    dist.all_gather(more, kept)
    step("gathered", loads=True)
    dist.all_gather(more, kept)
    step("gathered again")
    del kept, more
    torch.cuda.empty_cache()
    step("dropped, empty_cache")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(serve, args=(sys.argv[1],), nprocs=2)
