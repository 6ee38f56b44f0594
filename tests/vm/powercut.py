# SPDX-License-Identifier: GPL-3.0-or-later
"""Power cuts, replayed: from a disk and a log of all writes to it, the disk as it may be after a cut.

The log is what QEMU's filter `blklogwrites` writes (block/blklogwrites.c of QEMU), the format of Linux's dm-log-writes
(drivers/md/dm-log-writes.c, Documentation/admin-guide/device-mapper/log-writes.rst). All numbers are little endian:

  sector 0     u64 magic 0x6a736677736872, u64 version 1, u64 number of entries, u32 size of a sector
  each entry   u64 sector, u64 number of sectors, u64 flags, u64 length of a mark's text; filled up to a sector;
               then the data, unless it is a discard
  flags        1 flush, 2 FUA, 4 discard, 8 mark

QEMU writes an entry when the operation has ended, and the number of entries only at a flush; so entries are taken up to
the end of the file.

The model of a disk with a volatile cache: what was written before a flush is on the disk when that has ended; of the writes
since then any set may be, each whole but the last, of which any sectors may be. A write with FUA is on the disk itself, which
says nothing about those before it. In which order the cache is emptied matters only to what is missing: a disk never puts an
older write over a newer one of the same sector, so the writes of a set are applied as they came.
"""
import mmap
import os
import random
import struct

MAGIC, VERSION = 0x6a736677736872, 1
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
LIMIT_SECTOR = 1 << 16


class Bad(Exception):
    """No log, or a damaged one."""


class Log:
    """Entries (offset on the disk, start of the data in the log, bytes, flags), in the order they came."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) if os.path.getsize(path) else b""
        if len(self.data) < 512:
            raise Bad(f"{path}: no log of writes")
        magic, version, _count, self.sector = struct.unpack_from("<QQQL", self.data, 0)
        if (magic, version) != (MAGIC, VERSION):
            raise Bad(f"{path}: no log of writes")
        if self.sector & (self.sector - 1) or not 512 <= self.sector <= LIMIT_SECTOR:
            raise Bad(f"{path}: impossible size of a sector: {self.sector}")
        self.entries = []
        at = self.sector
        while at + self.sector <= len(self.data):
            start, sectors, flags, text = struct.unpack_from("<QQQQ", self.data, at)
            if flags >= 2 * MARK or (flags & ~FLUSH and not flags & MARK and not sectors):
                raise Bad(f"{path}: entry {len(self.entries)} has impossible flags: {flags}")
            if flags & MARK:
                size = -(-text // self.sector) * self.sector
            else:
                size = 0 if flags & DISCARD else sectors * self.sector
            at += self.sector
            if at + size > len(self.data):
                break  # the machine is still writing it
            if sectors and not flags & (DISCARD | MARK):
                self.entries.append((start * self.sector, at, size, flags & (FLUSH | FUA)))
            elif flags & FLUSH:
                self.entries.append((0, at, 0, FLUSH))
            at += size

    def bytes_of(self, entry):
        _offset, at, size, _flags = entry
        return self.data[at:at + size]


class Disk:
    """A file that is changed for a while, and put back."""

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.undo = []

    def write(self, offset, data, keep=False):
        if not keep:
            self.undo.append((offset, os.pread(self.fd, len(data), offset).ljust(len(data), b"\0")))
        os.pwrite(self.fd, data, offset)

    def restore(self):
        for offset, data in reversed(self.undo):
            os.pwrite(self.fd, data, offset)
        self.undo = []

    def close(self):
        os.close(self.fd)


class Replay:
    """The disk of path, which is changed, moved forward through a log; cut() yields what a cut may leave."""

    def __init__(self, path, log):
        self.disk, self.log = Disk(path), log
        self.flushed = 0  # entries before it have been taken
        self.pending = []  # of those, the ones that are not surely on the disk

    def _settle(self, entries):
        for entry in entries:
            self.disk.write(entry[0], self.log.bytes_of(entry), keep=True)

    def step(self):
        """Take the next entry; True when it was a flush, after which the disk is as it surely is."""
        entry = self.log.entries[self.flushed]
        _offset, _at, size, flags = entry
        self.flushed += 1
        if flags & FLUSH:
            self._settle(self.pending)
            self.pending = []
        if flags & FUA:
            # Older writes of the same place can no longer come over it: they are as good as there.
            over = [p for p in self.pending if p[0] < entry[0] + size and entry[0] < p[0] + p[2]]
            self._settle(over + [entry])
            self.pending = [p for p in self.pending if p not in over]
        elif size:
            self.pending.append(entry)
        return bool(flags & FLUSH)

    def advance(self, end):
        while self.flushed < end:
            self.step()

    def apply(self, rng, torn):
        """On the disk: a random set of what is pending, in the order it came; restore() takes it back. Says what."""
        share = rng.choice([0.1, 0.5, 0.9, 1.0])
        chosen = [p for p in self.pending if rng.random() < share]
        for i, entry in enumerate(chosen):
            data, size = self.log.bytes_of(entry), self.log.sector
            if torn and i == len(chosen) - 1 and len(data) > size:
                sectors = range(len(data) // size)
                for s in rng.sample(sectors, rng.randrange(len(sectors))):
                    self.disk.write(entry[0] + s * size, data[s * size:(s + 1) * size])
            else:
                self.disk.write(entry[0], data)
        return f"{len(chosen)} of {len(self.pending)} writes" + (", torn" if torn and chosen else "")

    def cuts(self, begin, end, subsets, seed, boundary=True):
        """From entry begin to entry end: yields (name, entries taken) with the disk as after a cut. Before each flush, and at
        the end, there are `subsets` random sets of the writes since the flush before; after each flush, with boundary, exactly
        what it made sure."""
        self.advance(begin)
        yield f"{begin}: start", begin
        while True:
            if self.flushed == end or self.log.entries[self.flushed][3] & FLUSH:
                for n in range(subsets if self.pending else 0):
                    rng = random.Random(f"{seed} {self.flushed} {n}")
                    # A cut at any moment: not all that was written up to the flush had been sent.
                    pending, self.pending = self.pending, self.pending[:rng.randint(1, len(self.pending))]
                    what = self.apply(rng, torn=n % 2 == 1)
                    self.pending = pending
                    yield f"{self.flushed} set {n}: {what}", self.flushed
                    self.disk.restore()
            if self.flushed == end:
                return
            if self.step() and boundary:
                yield f"{self.flushed}: flushed", self.flushed


def copy(source, target, offset=0, size=None):
    """Copy without holes: size bytes from offset on."""
    inp, out = os.open(source, os.O_RDONLY), os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    end = os.fstat(inp).st_size if size is None else offset + size
    at = offset
    os.ftruncate(out, end - offset)
    while at < end:
        try:
            at = os.lseek(inp, at, os.SEEK_DATA)
        except OSError:
            break
        hole = min(end, os.lseek(inp, at, os.SEEK_HOLE))
        while at < hole:
            at += os.copy_file_range(inp, out, min(hole - at, 1 << 26), at, at - offset)
    os.close(inp)
    os.close(out)
