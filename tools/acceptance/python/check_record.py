"""Compares a device with what recording_writer.py recorded.

Usage: check_record.py URI RECORD

Every block holds its newest acknowledged generation or one that was submitted later, and holds it whole. Everything is
read twice at the same time, so that reads go to several legs: what was never acknowledged may be old or new, but is
the same everywhere. Prints what was checked.
"""

import sys

import nbd

BLOCK = 4096
PIECE = 1024 * 1024
READS = 2


def content(block, generation):
    return b"%016x%016x" % (block, generation) * (BLOCK // 32)


def read_record(path):
    """Newest acknowledged generation, and all submitted ones, by block."""
    acknowledged = {}
    submitted = {}
    with open(path, encoding="ascii") as record:
        for line in record:
            fields = line.split()
            if len(fields) != 3:
                continue
            kind, block, generation = fields[0], int(fields[1]), int(fields[2])
            if kind == "A":
                acknowledged[block] = max(generation, acknowledged.get(block, 0))
            else:
                submitted.setdefault(block, []).append(generation)
    return acknowledged, submitted


def read_piece(handle, offset, length):
    """The bytes, read READS times at once; None when the reads differ."""
    buffers = [nbd.Buffer(length) for _ in range(READS)]
    errors = []

    def done(error):
        errors.append(error)
        return 1

    for buffer in buffers:
        handle.aio_pread(buffer, offset, done)
    while len(errors) < READS:
        handle.poll(-1)
    if any(errors):
        raise OSError(f"reading {length} bytes at {offset} failed: {errors}")
    pieces = [bytes(buffer.to_bytearray()) for buffer in buffers]
    return pieces[0] if all(piece == pieces[0] for piece in pieces) else None


def main():
    acknowledged, submitted = read_record(sys.argv[2])
    handle = nbd.NBD()
    handle.connect_uri(sys.argv[1])
    size = handle.get_size()
    newer = 0
    for offset in range(0, size, PIECE):
        piece = read_piece(handle, offset, min(PIECE, size - offset))
        if piece is None:
            print(f"offset {offset}: two reads differ", file=sys.stderr)
            return 1
        for at in range(0, len(piece), BLOCK):
            block = (offset + at) // BLOCK
            if block not in submitted:
                continue
            floor = acknowledged.get(block, 0)
            allowed = {content(block, generation): generation for generation in submitted[block] if generation >= floor}
            if floor == 0:
                allowed[bytes(BLOCK)] = 0
            found = piece[at : at + BLOCK]
            if found not in allowed:
                print(f"block {block}: expected generation {floor} or later, found {found[:32]!r}", file=sys.stderr)
                return 1
            newer += allowed[found] > floor
    print(f"{len(acknowledged)} acknowledged of {len(submitted)} blocks checked, {newer} newer than acknowledged")
    return 0 if acknowledged else 1


sys.exit(main())
