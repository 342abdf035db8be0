"""Compares what a trace says beside the query of asks.py with what the program and the driver know; prints a table."""

import glob
import json
import re
import subprocess
import sys


def smi(fields):
    text = subprocess.run(["nvidia-smi", "--query-gpu=" + fields, "--format=csv,noheader,nounits"], check=True,
                          capture_output=True, text=True).stdout
    return [field.strip() for field in text.splitlines()[0].split(",")]


def main():
    known = json.load(open(sys.argv[1]))
    events = []
    for path in glob.glob(sys.argv[2] + "/*.jsonl"):
        with open(path) as file:
            lines = [json.loads(line) for line in file]
        if lines[0]["pid"] == known["pid"]:
            events = lines
    def of(kind, **fields):
        return [event for event in events
                if event["ev"] == kind and all(event.get(key) == value for key, value in fields.items())]

    stacks = [stack for stack in of("stack") if any(f["func"].endswith("configure_kv_cache_capacity")
                                                    for f in stack["frames"])]
    query = stacks[0]["of"] if stacks else 0
    frame = next((f for stack in stacks for f in stack["frames"]
                  if f["func"].endswith("configure_kv_cache_capacity")), {})
    uuid, bus, driver = smi("uuid,pci.bus_id,driver_version")
    device = (of("device") or [{}])[0]
    answers = of("query", n=query) or of("query", free=known["free"])
    views = [event for event in of("view") if event["of"] == query]
    usage = [event for event in of("usage") if event["of"] == query]
    cached = [event for event in of("cached", group="weights") if event["of"] == query]
    weights = of("weights", path=known["weights"])
    version = next((fact["text"] for fact in of("fact", name="nvidia.module")), "")
    modules = [event["path"] for event in of("module")]
    rows = [
        ("Python line that asked", f"{known['file']}:{known['line']}", f"{frame.get('file')}:{frame.get('line')}", None),
        ("CPython", known["python"], stacks[0]["python"] if stacks else None, None),
        ("free memory, bytes", known["free"], answers[-1]["free"] if answers else None, None),
        ("GPU's UUID", uuid, device.get("uuid"), None),
        ("PCI address", bus[-12:].lower(), (device.get("pci") or "").lower()[-12:], None),
        ("driver's version", driver, version.strip(), None),
        ("views beside the query", 1, len(views), None),
        ("a library of CUDA is named", True, any("libcuda.so" in path for path in modules), None),
        ("a library of PyTorch is named", True, any("libtorch" in path for path in modules), None),
        ("size of the weights, bytes", known["size"], weights[0]["size"] if weights else None, None),
        ("weights' dtype", "BF16", ",".join(weights[0].get("dtypes", {})) if weights else None, None),
        ("description of the model", "config.json", of("config")[0]["path"].rsplit("/", 1)[-1] if of("config") else None, None),
        ("weights mapped by the program", True, any(use["how"] == "mmap" for use in of("use")), None),
        ("weights in the page cache, bytes", known["size"], cached[0]["cached"] if cached else None, 0.01),
    ]
    if usage and usage[0].get("own"):
        rows.append(("own memory as NVML lists it, bytes, at least", known["reserved"], usage[0]["own"], 1.0))
    print("| what | known | in the trace | |\n|---|---|---|---|")
    bad = 0
    for what, expected, found, slack in rows:
        if slack is None:
            good = expected == found
        else:
            good = found is not None and abs(found - expected) <= slack * expected
        bad += not good
        show = lambda value: re.sub(r"^/.*/tests/", "tests/", str(value))
        print(f"| {what} | {show(expected)} | {show(found)} | {'same' if good else 'DIFFERENT'} |")
    if usage:
        print(f"\nNVML beside the query: {json.dumps({k: usage[0].get(k) for k in ('count', 'own', 'others', 'same_pids', 'free', 'total')})}")
    else:
        missing = [event for event in of("missing") if event["what"].startswith("usage")]
        print(f"\nNVML beside the query: nothing ({json.dumps(missing)})")
    costs = sorted(view["cost"] for view in of("view"))
    print(f"\nViews: {len(costs)}, median {costs[len(costs) // 2] / 1000:.0f} us, most {costs[-1] / 1000:.0f} us.")
    print("\nNot to be had: " + ", ".join(sorted({f"{e['what']} ({e['reason']})" for e in of("missing")})) + ".")
    sys.exit(bad != 0)


main()
