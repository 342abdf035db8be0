"""Compares what a driver answers to lookups with and without the preload, and prints what it found as Markdown.

usage: lookups.py PLAIN TRACED

Both are the output of tests/programs/resolver.c: WAY NAME VERSION FLAGS RC STATUS LIBRARY OFFSET SYMBOL. Exit code 1 if a
wrapper stands for another function than the driver gave, or anything else is not the driver's own answer.
"""

import sys


def main():
    plain, traced = ([line.split() for line in open(path)] for path in sys.argv[1:])
    assert len(plain) == len(traced) > 1000, "the program failed"
    wrapped, same, wrong = 0, 0, []
    functions = set()
    for own, ours in zip(plain, traced):
        assert own[:6] == ours[:6], (own, ours)
        if ours[6] == "libkvtrace.so" and own[8] == ours[8]:
            wrapped += 1
            functions.add(own[8])
        elif own[6:] == ours[6:]:
            same += 1
        else:
            wrong.append((own, ours))
    print(f"{len(plain)} lookups by `cuGetProcAddress`, in all its forms: {wrapped} were answered with the wrapper of the "
          f"function that the driver gave ({len(functions)} functions), {same} with the driver's own answer, {len(wrong)} "
          "otherwise.")
    for own, ours in wrong[:10]:
        print(f"* {own} became {ours}")
    sys.exit(bool(wrong))


main()
