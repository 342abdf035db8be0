"""Ends while threads ask, and asks while it ends."""
import sys
import threading
import time

from asking import A, ASKS, B

asks = ASKS[1:]


class Last:
    def __del__(self):
        for ask in asks:
            ask(A, B)


def forever(depth):
    while True:
        if depth:
            return forever(depth - 1)
        for ask in asks:
            ask(A, B)


sys.last = last = Last()
for depth in range(4):
    threading.Thread(target=forever, args=(depth,), daemon=True).start()
time.sleep(0.2)
