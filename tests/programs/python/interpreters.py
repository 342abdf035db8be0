"""Asks out of an interpreter inside the interpreter, and beside it. Prints `absent` where there is none to be had."""
import sys
import threading

import asking
from asking import A, ASKS, B

INSIDE = """
import sys
sys.argv, sys.path = {argv!r}, {path!r}
import asking
from asking import A, ASKS, B
asking.noted.clear()

def inside():
    for ask in ASKS:
        ask(A, B)

inside()
with open({result!r}, "w") as file:
    file.write(repr(asking.noted))
"""


def ask_here():
    for ask in ASKS:
        ask(A, B)


def run_inside(run, interpreter):
    result = asking.FOLDER + "/inside"
    error = run(interpreter, INSIDE.format(argv=sys.argv, path=sys.path, result=result))
    assert not error, error
    with open(result) as file:
        asking.noted.extend(eval(file.read()))


def main():
    try:
        import _interpreters as interpreters
        run, interpreter = interpreters.exec, interpreters.create("legacy")
    except ImportError:
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            return print("absent")
        run, interpreter = interpreters.run_string, interpreters.create(isolated=False)
    ask_here()
    run_inside(run, interpreter)
    ask_here()
    # Before 3.13 an interpreter goes on in the thread that made it, as far as its own books say.
    if sys.version_info >= (3, 13):
        thread = threading.Thread(target=run_inside, args=(run, interpreter))
        thread.start()
        thread.join()
        ask_here()
    asking.write()


if __name__ == "__main__":
    main()
