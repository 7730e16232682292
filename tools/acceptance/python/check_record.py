"""Compares a device with what recording_writer.py recorded.

Usage: check_record.py URI RECORD

Every block holds its newest acknowledged generation or one that was submitted later, and holds it whole. Reads it
twice: what was never acknowledged may be old or new, but does not flip. Prints what was checked.
"""

import sys

import nbd

BLOCK = 4096
READS = 2


def content(block, generation):
    return b"%016x%016x" % (block, generation) * (BLOCK // 32)


def main():
    uri, record_path = sys.argv[1], sys.argv[2]
    acknowledged = {}
    submitted = {}
    with open(record_path, encoding="ascii") as record:
        for line in record:
            # The last line may have been cut by the end of the writer.
            fields = line.split() if line.endswith("\n") else []
            if len(fields) != 3:
                continue
            kind, block, generation = fields[0], int(fields[1]), int(fields[2])
            if kind == "A":
                acknowledged[block] = max(generation, acknowledged.get(block, 0))
            else:
                submitted.setdefault(block, []).append(generation)
    handle = nbd.NBD()
    handle.connect_uri(uri)
    newer = 0
    for block, generations in sorted(submitted.items()):
        floor = acknowledged.get(block, 0)
        allowed = {content(block, generation): generation for generation in generations if generation >= floor}
        if floor == 0:
            allowed[bytes(BLOCK)] = 0
        found = [bytes(handle.pread(BLOCK, block * BLOCK)) for _ in range(READS)]
        if found[0] not in allowed:
            print(f"block {block}: expected generation {floor} or later, found {found[0][:32]!r}", file=sys.stderr)
            return 1
        if any(other != found[0] for other in found):
            print(f"block {block}: two reads differ", file=sys.stderr)
            return 1
        newer += allowed[found[0]] > floor
    print(f"{len(acknowledged)} acknowledged of {len(submitted)} blocks checked, {newer} newer than acknowledged")
    return 0 if acknowledged else 1


sys.exit(main())
