"""Prints how the ledger of a trace compares with what the device itself says, step by step, as Markdown.

usage: table.py TITLE STEPS SHOW

STEPS are the program's lines, one JSON object a step; SHOW is `kvtrace show --format json` of its trace. The first step
is where the program had a context and nothing else: what was in use then is not compared. Exit code 1 if more than 1 %
of what the device gave up since is neither in the ledger nor in a step that loaded code.
"""

import json
import sys

MIB = 1 << 20


def mib(size):
    return f"{size / MIB:.1f}"


def main():
    title, steps, show = sys.argv[1:]
    with open(steps) as lines:
        steps = [json.loads(line) for line in lines if line.startswith("{")]
    with open(show) as text:
        queries = json.load(text)["queries"]
    # Of one process, where there are several.
    if "pid" in steps[0]:
        queries = [query for query in queries if query["evidence"].startswith(f"{steps[0]['pid']}:")]
    print(f"\n### {title}\n")
    print("| step | in use, MiB | ledger, MiB | context and modules (inferred), MiB | unexplained, MiB | of the use |")
    print("|---|---:|---:|---:|---:|---:|")
    at = 0
    first = before = None
    inferred = worst = 0
    for step in steps:
        # The step's own query is the next one with its answer.
        at = next(i for i in range(at, len(queries)) if queries[i]["free_bytes"] == step["free"])
        now = (step["free"], queries[at]["device_live_bytes"])
        at += 1
        first = first or now
        before = before or now
        if step.get("loads"):
            inferred += (before[0] - now[0]) - (now[1] - before[1])
        used, ledger = first[0] - now[0], now[1] - first[1]
        unexplained = used - ledger - inferred
        # What the driver rounds up to whole 2 MiB is below a percent of these sizes.
        share = abs(unexplained) / max(used, 100 * MIB)
        worst = max(worst, share)
        reserved = step.get("reserved")
        note = f" (PyTorch: {mib(reserved)} reserved)" if reserved is not None else ""
        print(f"| {step['step']}{note} | {mib(used)} | {mib(ledger)} | {mib(inferred)} | {mib(unexplained)} "
              f"| {100 * share:.2f} % |")
        before = now
    context = steps[0]["total"] - first[0] - first[1]
    print(f"\nWorst step: {100 * worst:.2f} %. In use at the first step and not in the ledger, {mib(context)} MiB: the "
          "context (inferred), and whoever else used the GPU.")
    sys.exit(worst >= 0.01)


main()
