"""Shaped like the module of TensorRT-LLM whose question decides the size of the KV cache."""
from asking import A, ASKS, B, HOLDING_ASKS


class KvCacheCreator:
    def __init__(self, asks):
        self._asks = asks

    def configure_kv_cache_capacity(self):
        for ask in self._asks:
            ask(A, B)

    def estimate(self):
        return self.configure_kv_cache_capacity()


def releasing():
    return KvCacheCreator(ASKS)


def holding():
    return KvCacheCreator(HOLDING_ASKS)
