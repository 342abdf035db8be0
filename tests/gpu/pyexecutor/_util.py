"""Asks as a serving runtime does that sizes its KV cache."""

import torch


def configure_kv_cache_capacity():
    return torch.cuda.mem_get_info()
