"""Median ns of a question that is asked 20 functions deep, in modules of four functions."""
import os
import statistics
import time


def asked():
    took = []
    for _ in range(400):
        begin = time.perf_counter_ns()
        os.sysconf("SC_AVPHYS_PAGES")
        took.append(time.perf_counter_ns() - begin)
    return statistics.median(took)


def layers(function, depth):
    """Wraps `function` into `depth` others, each called by the next; four share a file."""
    for number in range(depth):
        if number % 4 == 0:
            path = "/opt/venv/lib/python3/site-packages/package/module_%d.py" % number
        module = {"inner": function}
        source = "\n" * number + "def layer_%d(*args):\n    count = len(args)\n    return inner(*args)\n" % number
        exec(compile(source, path, "exec"), module)
        function = module["layer_%d" % number]
    return function


def main():
    print(layers(asked, 18)())


main()
