"""Writes to a device and records what was acknowledged.

Usage: recording_writer.py URI RECORD SEED

Every block of 4 KiB carries its number and a generation that only ever rises, many times over. RECORD gets one line
per event, written through to the kernel before the next request is issued; a RECORD that exists is continued:

    S block generation    submitted
    A block generation    acknowledged
    D                     everything acknowledged so far is durable (a flush was acknowledged)

Ends with code 0 on SIGTERM, after a last flush; with code 4 when the server goes away; with code 3 on an IO error.
"""

import errno
import os
import random
import signal
import sys

import nbd

BLOCK = 4096
DEPTH = 16
RUN_MAX = 8
# What libnbd says of a connection that ended: to the call at hand, and to the requests in flight.
GONE = ("ECONNRESET", "EPIPE", "ENOTCONN", "ECONNABORTED")


def content(block, generation):
    return b"%016x%016x" % (block, generation) * (BLOCK // 32)


def last_generation(record_path):
    if not os.path.exists(record_path):
        return 0
    with open(record_path, encoding="ascii") as record:
        return max((int(line.split()[2]) for line in record if line.startswith("S ")), default=0)


def main():
    uri, record_path, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    draw = random.Random(seed)
    generation = last_generation(record_path)
    record = os.open(record_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stopping = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))

    def note(lines):
        os.write(record, "".join(lines).encode())

    handle = nbd.NBD()
    handle.connect_uri(uri)
    blocks = handle.get_size() // BLOCK
    busy = set()
    in_flight = 0
    failed = []

    def submit():
        nonlocal generation, in_flight
        first = draw.randrange(blocks)
        count = min(draw.randint(1, RUN_MAX), blocks - first)
        run = range(first, first + count)
        # Two writes in flight to one block have no order.
        if any(block in busy for block in run):
            return
        generation += 1
        mine = generation
        busy.update(run)
        in_flight += 1
        note([f"S {block} {mine}\n" for block in run])
        flags = nbd.CMD_FLAG_FUA if draw.random() < 0.1 else 0

        def done(error):
            nonlocal in_flight
            in_flight -= 1
            busy.difference_update(run)
            if error:
                failed.append(error.value)
            else:
                note([f"A {block} {mine}\n" for block in run])
            return 1

        data = nbd.Buffer.from_bytearray(bytearray(b"".join(content(block, mine) for block in run)))
        handle.aio_pwrite(data, first * BLOCK, done, flags)

    try:
        while not stopping and not failed:
            while in_flight < DEPTH:
                submit()
            handle.poll(1000)
            if draw.random() < 0.002:
                while in_flight > 0:
                    handle.poll(1000)
                handle.flush()
                note(["D\n"])
        while in_flight > 0 and not failed:
            handle.poll(1000)
        if not failed:
            handle.flush()
            note(["D\n"])
            handle.shutdown()
    except nbd.Error as error:
        if error.errno in GONE or handle.aio_is_dead() or handle.aio_is_closed():
            print("the server went away")
            return 4
        print(f"IO error: {error.string}", file=sys.stderr)
        return 3
    if failed:
        gone = all(errno.errorcode.get(code) in GONE for code in failed)
        print("the server went away" if gone else f"IO errors: {failed}", file=sys.stderr)
        return 4 if gone else 3
    return 0


sys.exit(main())
