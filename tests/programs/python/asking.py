"""Asks for memory figures and says, for the very same call instruction, what Python itself knows of the stack.

Whoever wants to be compared runs `for ask in ASKS: ask(...)`: the first element notes the stack, the others ask.
"""
import ctypes
import json
import os
import sys
import threading

LIBRARY, FOLDER = sys.argv[1], sys.argv[2]
# The one gives up the GIL around a call, the other keeps it.
RELEASING, HOLDING = ctypes.CDLL(LIBRARY), ctypes.PyDLL(LIBRARY)
FREE, TOTAL = ctypes.c_size_t(), ctypes.c_size_t()
noted = []


def shorten(text, most, keeps_end):
    if len(text) > most:
        text = "..." + text[-most:] if keeps_end else text[:most] + "..."
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def note(*_):
    frame, frames = sys._getframe(1), []
    while frame is not None and len(frames) < 66:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)
        frames.append([shorten(code.co_filename, 256, True), frame.f_lineno or 0, shorten(name, 128, False)])
        frame = frame.f_back
    noted.append({"tid": threading.get_native_id(), "frames": frames})


ASKS = (note, RELEASING.cudaMemGetInfo)
HOLDING_ASKS = (note, HOLDING.cudaMemGetInfo)
A, B = ctypes.byref(FREE), ctypes.byref(TOTAL)


def write():
    """Leaves what was noted where the test finds it."""
    with open(os.path.join(FOLDER, f"noted.{os.getpid()}"), "w") as file:
        json.dump({"python": "%d.%d" % sys.version_info[:2], "noted": noted}, file)
