"""QEMU's write log, and the disks that a power cut may leave behind while it was written.

`blklogwrites` writes the format of Linux's dm-log-writes, little endian, in sectors of 512 bytes:

  sector 0   u64 0x6a736677736872, u64 version 1, u64 number of entries, u32 bytes per sector
  entries    one sector with u64 sector, u64 number of sectors, u64 flags (1 flush, 2 FUA, 4 discard, 8 mark), u64 length of a
             mark's text; then that many sectors of data, none for a discard

Sector 0 is written at a flush or a clean end, and a killed QEMU leaves an old one, so it is not believed: the entries are
followed until they end.  An SD card has no cache in QEMU: each sector is an entry, and their order is that of the medium.
virtio-blk has one: until the next flush any of the writes may be missing, which is what `loose` crash images are.
"""
import contextlib
import hashlib
import itertools
import mmap
import os
import struct

SECTOR = 512
MAGIC = 0x6A736677736872
FLUSH, DISCARD, MARK = 1, 4, 8
EXHAUSTIVE = 6              # open writes of which every subset is tried
HEADER = struct.Struct("<QQQQ")


class Entry:
    """One write, or one flush (`data` is None then)."""
    __slots__ = ("offset", "data", "flush")

    def __init__(self, offset, data, flush=False):
        self.offset, self.data, self.flush = offset, data, flush


BARRIER = Entry(0, None, True)


def read(path):
    """The entries of a log, also of one whose QEMU was killed."""
    size = os.path.getsize(path)
    if size < 2 * SECTOR:
        return []
    entries = []
    with open(path, "rb") as file:
        log = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    magic, _, _, sector_size = struct.unpack_from("<QQQI", log)
    assert magic in (0, MAGIC) and sector_size in (0, SECTOR), f"{path} is no write log"
    at = SECTOR
    while at + SECTOR <= size:
        sector, sectors, flags, length = HEADER.unpack_from(log, at)
        at += SECTOR
        bytes_ = sectors * SECTOR
        if flags & MARK:
            continue
        if flags & DISCARD:
            entries.append(Entry(sector * SECTOR, bytes(bytes_)))
            continue
        if not sectors:
            if not flags & FLUSH:
                break                       # nothing but zeros: the end of a log that was cut
            entries.append(BARRIER)
            continue
        if at + bytes_ > size:
            break                           # the last entry did not land whole
        if flags & FLUSH:
            entries.append(BARRIER)
        # FUA confirms this write alone. QEMU's virtio-blk offers none; taken for a plain write, it only may be lost more often.
        entries.append(Entry(sector * SECTOR, log[at:at + bytes_]))
        at += bytes_
    return entries


class Crash:
    """A disk after a cut: all writes before entry `at`, then `pieces` [(offset, bytes)] of what came after."""
    __slots__ = ("at", "pieces", "kind", "place", "key")

    def __init__(self, at, pieces, kind, place, key):
        self.at, self.pieces, self.kind, self.place, self.key = at, pieces, kind, place, key

    def __str__(self):
        parts = ", ".join(f"{len(d)} bytes at {o:#x}" for o, d in self.pieces[:8])
        return f"{self.place}: the first {self.at} entries{' and ' + parts if parts else ''} ({self.kind})"


class Walk:
    """A disk in memory that goes through a log and knows, of each state beside its way, whether it was there before.

    A disk's hash is the XOR of one hash per sector, so that a write changes it by what it changes.
    """

    def __init__(self, base, entries):
        with open(base, "rb") as file:
            self.disk = bytearray(file.read())
        self.entries, self.hash, self.seen = entries, 0, {0}

    def changes(self, pieces):
        """{offset: bytes} of the sectors that differ once `pieces` have landed."""
        new = {}
        for offset, data in pieces:
            here = self.disk[offset:offset + len(data)]
            if here == data and not new:
                continue
            for at in range(offset - offset % SECTOR, offset + len(data), SECTOR):
                start, end = max(at, offset), min(at + SECTOR, offset + len(data))
                old = new.get(at, self.disk[at:at + SECTOR])
                new[at] = bytes(old[:start - at]) + bytes(data[start - offset:end - offset]) + bytes(old[end - at:])
        return {at: content for at, content in new.items() if content != self.disk[at:at + SECTOR]}

    def hash_with(self, changes):
        result = self.hash
        for at, content in changes.items():
            result ^= _hash(at, self.disk[at:at + SECTOR]) ^ _hash(at, content)
        return result

    def crash(self, at, pieces, kind, place):
        """The crash image, or None if a disk of the same bytes was there before."""
        changes = self.changes(pieces)
        key = self.hash_with(changes)
        if key in self.seen:
            return None
        self.seen.add(key)
        return Crash(at, pieces, kind, place, key)

    def apply(self, entry):
        changes = self.changes([(entry.offset, entry.data)])
        self.hash = self.hash_with(changes)
        for at, content in changes.items():
            self.disk[at:at + SECTOR] = content

    def ordered(self, place_of, random_, tears):
        """Every prefix of the log, and the next sector torn at `tears(place)` bytes."""
        for i, entry in enumerate(self.entries):
            if entry.flush:
                continue
            place = place_of(i)
            for count in _tears(entry, random_, tears(place)):
                made = self.crash(i, [(entry.offset, entry.data[:count])], "torn", place)
                if made:
                    yield made
            made = self.crash(i + 1, [], "whole", place) if self.moves(entry) else None
            if made:
                yield made

    def moves(self, entry):
        """Applies the entry; False if it changed nothing."""
        before = self.hash
        self.apply(entry)
        return self.hash != before

    def loose(self, place_of, random_, tears, samples, wanted=lambda place: True):
        """Subsets of the writes that no flush has confirmed yet, the last of them whole or torn, at every point of the log that
        is wanted."""
        start, open_ = 0, []
        for i, entry in enumerate(self.entries):
            if entry.flush:
                for written in open_:
                    self.apply(written)
                start, open_ = i + 1, []
                continue
            place = place_of(i)
            last = [(entry.offset, entry.data)]
            ends = [("whole", last)]
            for number, n in enumerate(_tears(entry, random_, tears(place))):
                # A cache may write the end of a block and lose its beginning.
                tail = number % 2 and n % SECTOR == 0
                ends.append(("torn", [(entry.offset + n, entry.data[n:]) if tail else (entry.offset, entry.data[:n])]))
            if len(open_) < EXHAUSTIVE:
                chosen = list(itertools.product((False, True), repeat=len(open_)))
            else:
                chosen = [tuple([True] * len(open_)), tuple([False] * len(open_))]
                chosen += [tuple(random_.random() < 0.5 for _ in open_) for _ in range(samples)]
                one = random_.randrange(len(open_))
                chosen.append(tuple(n != one for n in range(len(open_))))
            for landed in chosen if wanted(place) else ():
                pieces = [(e.offset, e.data) for e, there in zip(open_, landed) if there]
                for kind, end in ends:
                    made = self.crash(start, pieces + end, kind if all(landed) else "loose", place)
                    if made:
                        yield made
            open_.append(entry)


def _hash(offset, content):
    return int.from_bytes(hashlib.blake2b(bytes(content), digest_size=8, key=offset.to_bytes(8, "little")).digest(), "little")


def _tears(entry, random_, count):
    """Where a write is cut: anywhere in a sector, and for a longer one also between sectors and pages."""
    length, tears = len(entry.data), set()
    for n in range(count):
        at = random_.randrange(1, length)
        if length > SECTOR and n % 2:
            unit = 4096 if length > 4096 and random_.random() < 0.5 else SECTOR
            at = at // unit * unit
        if at:
            tears.add(at)
    return sorted(tears)


class Replay:
    """An image file that goes forward through a log, and aside to a crash image for as long as somebody looks at it."""

    def __init__(self, image, entries):
        self.image, self.entries, self.at = image, entries, 0
        self.file = os.open(image, os.O_RDWR)

    def forward(self, at):
        assert at >= self.at, "a replay only goes forward"
        for entry in self.entries[self.at:at]:
            if not entry.flush:
                os.pwrite(self.file, entry.data, entry.offset)
        self.at = at

    @contextlib.contextmanager
    def crashed(self, crash, touched=()):
        """`touched` [(offset, length)]: what those who look may write to."""
        self.forward(crash.at)
        ranges = [(offset, len(data)) for offset, data in crash.pieces] + list(touched)
        kept = [(offset, os.pread(self.file, length, offset)) for offset, length in ranges]
        for offset, data in crash.pieces:
            os.pwrite(self.file, data, offset)
        try:
            yield
        finally:
            for offset, data in kept:           # each was read before anything was changed
                os.pwrite(self.file, data, offset)

    def close(self):
        os.close(self.file)
