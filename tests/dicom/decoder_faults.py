"""A child process like hoimg's own whose decoder does, on command of the file, what an attack does.

The first byte of the compressed data says what. Started by the tests in place of the real child.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import time

from hoimg.decoding import codecs, worker


def misbehave(source: bytes, form: codecs.Form) -> codecs.Frame:
    what = chr(source[0])
    if what == "c":  # a segmentation fault
        ctypes.string_at(0)
    if what == "x":
        os._exit(3)
    if what == "h":  # a hang that no Python signal handler ends
        ctypes.CDLL(None).pause()
    if what == "m":
        bytearray(8 * 2**30)
    if what == "k":  # memory that C code asks for and writes to
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        for _ in range(4096):
            place = libc.malloc(2**20)
            if not place:
                raise MemoryError
            ctypes.memset(place, 1, 2**20)
        raise AssertionError("took 4 GB")
    if what == "w":
        with open(os.environ["HOIMG_TEST_FILE"], "wb") as file:  # noqa: PTH123
            file.write(bytes(2**21))
    if what == "n":  # nonsense into the answers
        for descriptor in range(3, 20):
            try:
                if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b"]nonsense[\n")
            except OSError:
                continue
    if what == "p":
        print("a remark", flush=True)
        sys.stderr.write("another\n")
        sys.stderr.flush()
    if what == "s":
        time.sleep(0.3)
    if what == "l":
        return codecs.Frame(bytes(form.pixels * 2 + 2), 2)
    return codecs.Frame(bytes([source[1], 0]) * form.pixels, 2)


def decode(source: bytes, form: codecs.Form) -> codecs.Frame:
    return misbehave(source, form)


codecs.decode_frame = decode
if __name__ == "decoder_faults":
    worker.main()
