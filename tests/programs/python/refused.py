"""Asks under a filter that refuses the system calls whose numbers stand behind the first two arguments."""
import ctypes
import struct
import sys

import asking
from asking import A, ASKS, B


def refuse(numbers):
    """BPF: load the number; for each that is refused, jump to EPERM."""
    program = [(0x20, 0, 0, 0)]
    for number in numbers:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050001)]
    program.append((0x06, 0, 0, 0x7FFF0000))
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, filter_, 0, 0) == 0


def main():
    refuse(map(int, sys.argv[3:]))
    for ask in ASKS:
        ask(A, B)


main()
asking.write()
