#!/usr/bin/env python3
"""Makes of what programs counted, built with -Cprofile-generate, what -Cprofile-use reads.

    tools/profdata.py TO.profdata FROM.profraw...

What `llvm-profdata merge` does, which compilers come without: for programs whose counters are 64 bits wide, on machines that
are little-endian, and for the one version of LLVM's raw profiles that the pinned compiler writes. Where that has moved on,
this says so. The formats are those of LLVM's InstrProfData.inc, InstrProfWriter.cpp and OnDiskHashTable.h.
"""

import hashlib
import pathlib
import struct
import sys
import zlib

RAW_MAGIC = int.from_bytes(b"\xfflprofr\x81", "big")
RAW_VERSION = 10
INDEXED_MAGIC = b"\xfflprofi\x81"
# The last one that is no more than this needs; compilers read all that there were.
INDEXED_VERSION = 7
# Of a version: what counts are is told by the intermediate representation, which is what rustc counts in.
OF_IR, VERSION = 1 << 56, (1 << 32) - 1

# Kinds of values, which are counted by what they are: targets of indirect calls, and sizes of copies.
TARGETS, KINDS = 0, 3
# So many of a place are told at most: an index of them is a byte.
MOST_VALUES = 24

# A function in a raw profile: name, hash, offset of its counters, that of its bitmap, address, values; how many counters;
# how many places of each kind of value; bytes of its bitmap.
FUNCTION = struct.Struct(f"<6QI{KINDS}HI2x")
assert FUNCTION.size == 64

# Bytes before all else.
HEAD = 128

# In millionths of all counts: how many of the hottest make up as much tells what is hot, and what is cold.
SHARES = [10_000, *range(100_000, 1_000_000, 100_000), 950_000, 990_000, 999_000, 999_900, 999_990, 999_999]


class Trouble(SystemExit):
    pass


def number(name):
    """What a name is told by."""
    return int.from_bytes(hashlib.md5(name).digest()[:8], "little")


def length(data, at):
    """A number in LEB128, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def names(data):
    """Names by their numbers."""
    found, at = {}, 0
    while at < len(data):
        if not data[at]:
            # Between the lists of two objects.
            at += 1
            continue
        plain, at = length(data, at)
        packed, at = length(data, at)
        text = zlib.decompress(data[at:at + packed]) if packed else data[at:at + plain]
        at += packed or plain
        found.update((number(name), name) for name in text.split(b"\x01"))
    return found


def padded(size):
    return (size + 7) // 8 * 8


class Raw:
    """What one run of a program counted."""

    def __init__(self, path):
        self.data = path.read_bytes()
        magic, version, ids, count, *rest = struct.unpack_from("<16Q", self.data.ljust(HEAD, b"\0"))
        if magic != RAW_MAGIC or version & VERSION != RAW_VERSION or not version & OF_IR:
            raise Trouble(f"{path}: no raw profile of version {RAW_VERSION}: use the llvm-profdata of the compiler")
        before, counters, after, bitmap, behind, named, self.delta, _, _, tables, tabled, last = rest
        if tables or tabled or last != KINDS - 1:
            raise Trouble(f"{path}: has tables, or other kinds of values than are known here")
        first = HEAD + ids
        self.functions = [FUNCTION.unpack_from(self.data, first + place * FUNCTION.size) for place in range(count)]
        self.counters = first + count * FUNCTION.size + before
        begin = self.counters + 8 * counters + after + bitmap + behind
        self.names = names(self.data[begin:begin + named])
        self.values = begin + padded(named)
        # Targets are told by their names, as addresses are others in the next program.
        self.named = {address: name for name, _, _, _, address, *_ in self.functions if address}

    def records(self):
        """Each function's name, hash, counts, and values with their counts, by place and kind."""
        at = self.values
        for index, (name, kind, offset, _, _, _, count, *places, _) in enumerate(self.functions):
            begin = self.counters + (offset - self.delta + index * FUNCTION.size) % (1 << 64)
            counts = struct.unpack_from(f"<{count}Q", self.data, begin)
            values = [[{} for _ in range(of_kind)] for of_kind in places]
            if any(places) and at < len(self.data):
                at = self.read_values(at, values)
            if name in self.names:
                yield self.names[name], kind, counts, values

    def read_values(self, begin, values):
        size, kinds = struct.unpack_from("<2I", self.data, begin)
        at = begin + 8
        for _ in range(kinds):
            kind, places = struct.unpack_from("<2I", self.data, at)
            many = self.data[at + 8:at + 8 + places]
            at = begin + padded(at + 8 + places - begin)
            for place, count in zip(values[kind], many, strict=True):
                for _ in range(count):
                    value, seen = struct.unpack_from("<2Q", self.data, at)
                    add(place, self.named.get(value, 0) if kind == TARGETS else value, seen)
                    at += 16
        if at != begin + size:
            raise Trouble("values do not end where they should")
        return at


def add(counts, value, seen):
    counts[value] = counts.get(value, 0) + seen


def merge(found, raw):
    """Adds a run to counts and values by hash by name."""
    for name, kind, counts, values in raw.records():
        of_name = found.setdefault(name, {})
        if kind not in of_name:
            of_name[kind] = list(counts), values
            continue
        known, known_values = of_name[kind]
        known[:] = map(sum, zip(known, counts, strict=True))
        for old, new in zip(known_values, values, strict=True):
            for place, others in zip(old, new, strict=True):
                for value, seen in others.items():
                    add(place, value, seen)


def written_values(values):
    body, kinds = b"", 0
    for kind, places in enumerate(values):
        if places:
            kinds += 1
            most = [sorted(place.items(), key=lambda each: (-each[1], each[0]))[:MOST_VALUES] for place in places]
            head = struct.pack("<2I", kind, len(places)) + bytes(map(len, most))
            body += head.ljust(padded(len(head)), b"\0")
            body += b"".join(struct.pack("<2Q", *each) for place in most for each in place)
    return struct.pack("<2I", 8 + len(body), kinds) + body


def summary(found):
    records = [counts for of_name in found.values() for counts, _ in of_name.values()]
    counts = sorted((count for each in records for count in each), reverse=True)
    total, entries, place, sum_ = sum(counts), [], 0, 0
    for share in SHARES:
        while sum_ * 1_000_000 < total * share:
            sum_ += counts[place]
            place += 1
        least = counts[max(place - 1, 0)]
        entries.append((share, least, place))
    entry, inside = max(each[0] for each in records), max((max(each[1:], default=0) for each in records))
    fields = len(found), len(counts), entry, counts[0], inside, total
    out = struct.pack("<8Q", len(fields), len(entries), *fields)
    return out + b"".join(struct.pack("<3Q", *each) for each in entries)


def written(found):
    """All of it, with a table by the hashes of names."""
    out = bytearray(INDEXED_MAGIC + struct.pack("<4Q", INDEXED_VERSION | OF_IR, 0, 0, 0) + summary(found))
    size = 1
    while 3 * size < 4 * len(found):
        size *= 2
    buckets = [[] for _ in range(size)]
    for name in sorted(found):
        buckets[number(name) % size].append(name)
    offsets = []
    for bucket in buckets:
        offsets.append(len(out) if bucket else 0)
        if bucket:
            out += struct.pack("<H", len(bucket))
        for name in bucket:
            data = b"".join(
                struct.pack(f"<2Q{len(counts)}Q", kind, len(counts), *counts) + written_values(values)
                for kind, (counts, values) in found[name].items()
            )
            out += struct.pack("<3Q", number(name), len(name), len(data)) + name + data
    out += bytes(padded(len(out)) - len(out))
    # Where the table is.
    struct.pack_into("<Q", out, 32, len(out))
    return out + struct.pack(f"<2Q{size}Q", size, len(found), *offsets)


def main():
    if len(sys.argv) < 3:
        raise Trouble(__doc__)
    to, *raws = map(pathlib.Path, sys.argv[1:])
    found = {}
    for path in raws:
        try:
            merge(found, Raw(path))
        except (struct.error, IndexError, ValueError, zlib.error) as error:
            raise Trouble(f"{path}: breaks off, or is of another program: {error}") from None
    if not any(any(counts) for of_name in found.values() for counts, _ in of_name.values()):
        raise Trouble("nothing was counted")
    to.write_bytes(written(found))
    print(f"{to}: {len(found)} functions, of {len(raws)} runs")


if __name__ == "__main__":
    main()
