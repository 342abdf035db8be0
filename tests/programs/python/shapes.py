"""Asks out of every kind of Python function, one after the other."""
import asyncio
import ctypes
import functools
import os
import signal
import sys
import threading

import asking
from asking import A, ASKS, B, note
from tensorrt_llm._torch.pyexecutor import _util


def generator():
    for ask in ASKS:
        yield ask(A, B)


def delegating():
    yield from generator()


async def coroutine():
    await asyncio.sleep(0)
    for ask in ASKS:
        ask(A, B)


async def asynchronous():
    async for _ in asynchronous_generator():
        await asyncio.gather(coroutine(), coroutine())


async def asynchronous_generator():
    for ask in ASKS:
        ask(A, B)
    yield


class Outer:
    class Inner:
        def method(self):
            def nested():
                for ask in ASKS:
                    ask(A, B)

            nested()

        @property
        def free(self):
            for ask in ASKS:
                ask(A, B)

        @staticmethod
        @functools.lru_cache(None)
        def cached():
            for ask in ASKS:
                ask(A, B)

    for ask in ASKS:
        ask(A, B)

    def __init__(self, deep=False):
        if deep:
            Outer()
        for ask in ASKS:
            ask(A, B)

    def __del__(self):
        for ask in ASKS:
            ask(A, B)


def größe_für_日本語(asks):
    for ask in asks:
        ask(A, B)


def several_lines():
    for ask in ASKS:
        ask(
            A,
            B,
        )
    for ask in ASKS: ask(A, [B,
                             sys][0])
    for ask in ASKS:
        result = [
            1,
            ask(A,
                B), 2,
        ]
    return result


def long_line():
    for ask in ASKS: "x" * 2 + "".join(["yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" * 2, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"]) + str(ask(A, B)) + "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"


def recursion(depth):
    if depth:
        return recursion(depth - 1)
    for ask in ASKS:
        ask(A, B)


def tried():
    try:
        raise KeyError
    except KeyError:
        with open(os.devnull):
            for ask in ASKS:
                ask(A, B)
    finally:
        for ask in ASKS:
            ask(A, B)


def executed(source, name):
    exec(compile(source, name, "exec"), {"ASKS": ASKS, "A": A, "B": B})


def handler(*_):
    for ask in ASKS:
        ask(A, B)


def signalled():
    signal.signal(signal.SIGUSR1, handler)
    os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(100):
        pass


def traced():
    """Under a tracer Python keeps the line elsewhere too."""
    sys.settrace(lambda *_: None)
    recursion(3)
    sys.settrace(None)


def without_lines():
    for ask in ASKS:
        ask(A, B)


def other_functions():
    for ask in (note, os.sysconf):
        ask("SC_AVPHYS_PAGES")
    for ask in (note, open):
        file = ask("/proc/meminfo")
    file.close()
    nvml = ctypes.CDLL(os.path.join(os.path.dirname(asking.LIBRARY), "libnvidia-ml.so.1"))
    handle, info = ctypes.c_void_p(), (ctypes.c_uint64 * 3)()
    assert nvml.nvmlInit_v2() == 0
    assert nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) == 0
    for ask in (note, nvml.nvmlDeviceGetMemoryInfo):
        ask(handle, info)


def main():
    for creator in (_util.releasing(), _util.holding()):
        creator.estimate()
        thread = threading.Thread(target=creator.estimate)
        thread.start()
        thread.join()
    list(generator())
    list(delegating())
    [[ask(A, B) for ask in ASKS] for _ in range(2)]
    {str(ask): (lambda: ask(A, B))() for ask in ASKS}
    list(map(lambda ask: ask(A, B), ASKS))
    sorted(ASKS, key=lambda ask: ask(A, B) or 0)
    asyncio.run(asynchronous())
    outer = Outer(deep=True)
    del outer
    Outer.Inner().method()
    Outer.Inner().free
    Outer.Inner.cached()
    größe_für_日本語(ASKS)
    functools.partial(größe_für_日本語, ASKS)()
    several_lines()
    long_line()
    recursion(5)
    recursion(1000)
    tried()
    body = "for ask in ASKS: ask(A, B)\n"
    for name in ("<string>", "", "odd \"name\"\\\n\t.py", "/tmp/naïve/模型/😀.py", "x" * 400, "é" * 300 + "/ü.py", "not-utf8-\udcff.py"):
        executed("\n" * 3 + body, name)
    # One function with a table of lines of many pages, and with lines that go back and far ahead.
    executed("def long():\n" + " x = 1\n" * 20000 + " " + body + " for ask in ASKS: (ask(A,\n" + "\n" * 3000 + "B))\nlong()", "long.py")
    executed("\n" * 70000 + "def " + "n" * 200 + "():\n " + body + "n" + "n" * 199 + "()", "far.py")
    signalled()
    traced()
    without_lines.__code__ = without_lines.__code__.replace(co_linetable=b"")
    without_lines()
    other_functions()
    child(os.fork)
    # Python does not learn of this one.
    child(ctypes.PyDLL(None).fork)
    thread = threading.Thread(target=child, args=(os.fork,))
    thread.start()
    thread.join()
    asking.write()


def child(fork):
    pid = fork()
    if pid == 0:
        asking.noted.clear()
        for ask in ASKS:
            ask(A, B)
        recursion(2)
        asking.write()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


if __name__ == "__main__":
    sys.setrecursionlimit(5000)
    main()
