"""Runs while a signal handler of a library asks wherever it is, and says which lines each function has."""
import ctypes
import json
import sys
import time
import types


class Base:
    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return Base(self.value + other)


def numbers(count):
    for number in range(count):
        yield Base(number) + 1


def closure(depth):
    kept = [depth]

    def inner():
        nonlocal kept
        kept = kept + [len(kept)]
        return closure(depth - 1) if depth else sorted(kept, key=lambda number: -number)

    return inner()


def work(until):
    while time.monotonic() < until:
        sum(number.value for number in numbers(20))
        closure(12)
        try:
            {}["missing"]
        except KeyError as error:
            str(error)


def functions(code, found):
    lines = [line for _, _, line in code.co_lines() if line] + [code.co_firstlineno]
    found.append([getattr(code, "co_qualname", code.co_name), min(lines), max(lines)])
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            functions(constant, found)
    return found


if __name__ == "__main__":
    ticker = ctypes.CDLL(sys.argv[3])
    with open(__file__) as file:
        code = compile(file.read(), __file__, "exec")
    with open(sys.argv[2] + "/functions", "w") as file:
        json.dump(functions(code, []), file)
    ticker.tick(300)
    work(time.monotonic() + 1)
    ticker.tick(0)
