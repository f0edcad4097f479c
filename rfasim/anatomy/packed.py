"""What is packed in a file, bounded: a few megabytes of gzip can hold gigabytes of nothing."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from typing import BinaryIO

ALWAYS = 2**30
"""bytes that anything may unpack to"""
_CHUNK = 2**20
_GZIP_AT_MOST = 1032  # deflate packs no better than 1032 : 1


def unpacks_to_more(file: BinaryIO, kind: str, most: int) -> bool:
    """Whether the rest of ``file`` (kind: gzip, deflate or bzip2) unpacks to more than ``most`` bytes; it is not kept.

    Up to ``ALWAYS`` bytes it does not in any case. The file's position is anywhere afterwards; what is damaged is for
    its reader to find out.
    """
    most = max(most, ALWAYS)
    start = file.tell()
    packed = file.seek(0, 2) - start
    file.seek(start)
    if kind != "bzip2" and packed * _GZIP_AT_MOST <= most:
        return False
    unpacked = 0
    try:
        for count in _bzip2(file) if kind == "bzip2" else _deflate(file, kind):
            unpacked += count
            if unpacked > most:
                return True
    except (zlib.error, OSError, EOFError):
        pass
    return False


def _deflate(file: BinaryIO, kind: str) -> Iterator[int]:
    machine = zlib.decompressobj(zlib.MAX_WBITS | 16 if kind == "gzip" else -zlib.MAX_WBITS)
    while not machine.eof and (chunk := machine.unconsumed_tail or file.read(_CHUNK)):
        yield len(machine.decompress(chunk, _CHUNK))


def _bzip2(file: BinaryIO) -> Iterator[int]:
    machine = bz2.BZ2Decompressor()
    while not machine.eof and ((chunk := file.read(_CHUNK) if machine.needs_input else b"") or not machine.needs_input):
        yield len(machine.decompress(chunk, _CHUNK))
