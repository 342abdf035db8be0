"""Threads that all run through changing recursions and ask wherever they are, while others come and go."""
import random
import threading

import asking
from asking import A, ASKS, B, HOLDING_ASKS

THREADS, ROUNDS = 6, 60


def left(chance, depth, asks):
    if depth:
        return (left if chance.random() < 0.5 else right)(chance, depth - 1, asks)
    for ask in asks: ask(A, B)


def right(chance, depth, asks):
    if not depth:
        for ask in asks:
            ask(A, B)
        return None
    if chance.random() < 0.5:
        return list(middle(chance, depth - 1, asks))
    return (lambda: left(chance, depth - 1, asks))()


def middle(chance, depth, asks):
    yield right(chance, depth, asks)


def run(seed):
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        left(chance, chance.randrange(12), chance.choice((ASKS, HOLDING_ASKS)))


def come_and_go(ended):
    while not ended.is_set():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()


if __name__ == "__main__":
    ended = threading.Event()
    restless = threading.Thread(target=come_and_go, args=(ended,))
    restless.start()
    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    run(THREADS)
    for thread in threads:
        thread.join()
    ended.set()
    restless.join()
    asking.write()
