"""A client that behaves: writes, reads back and compares until SIGTERM.

Usage: good_client.py URI SEED

Prints the number of rounds on a line of its own after each; ends with code 0 when every answer was right.
"""

import random
import signal
import sys

import nbd

LENGTH_MAX = 256 * 1024


def main():
    draw = random.Random(int(sys.argv[2]))
    stopping = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    handle = nbd.NBD()
    handle.connect_uri(sys.argv[1])
    size = handle.get_size()
    rounds = 0
    while not stopping:
        length = draw.randint(1, LENGTH_MAX)
        offset = draw.randrange(size - length)
        data = draw.randbytes(length)
        handle.pwrite(data, offset)
        if handle.pread(length, offset) != data:
            print(f"{length} bytes at {offset}: read something else than was written", file=sys.stderr)
            return 1
        if rounds % 16 == 0:
            handle.flush()
        rounds += 1
        print(rounds, flush=True)
    handle.shutdown()
    return 0


sys.exit(main())
