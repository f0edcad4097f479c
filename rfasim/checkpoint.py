"""Checkpoints that a SIGKILL, a full disk or a power cut at any moment cannot spoil.

Two files take turns, so that the last good one is never touched; each is written under another name, synced
and then renamed, and carries the SHA-256 of what it holds. Arrays come back with the same bits.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rfasim.errors import RunError

_MAGIC = b"rfasim checkpoint 1\n"
_SLOTS = ("checkpoint.0", "checkpoint.1")


def allowed_name(name: str) -> str:
    """``name`` of a file or folder, changed where Windows keeps it for a device, whatever follows a point."""
    word, point, rest = name.partition(".")
    return f"{word}_{point}{rest}" if re.fullmatch(r"con|prn|aux|nul|(com|lpt)\d", word, re.IGNORECASE) else name


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what the system says when ``path`` cannot be written into one sentence (RunError)."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # HDF5 reports some failed writes as RuntimeError
        code = getattr(error, "errno", None)
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in str(error):
            reason = "the disk is full; free some space or choose another folder"
        else:
            reason = (os.strerror(code) if code else str(error)).rstrip(".")
        raise RunError(f"cannot write {path}: {reason} (files written before it are intact)") from error


def write_atomically(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Call ``write(temporary)``, sync it to the disk (if ``durable``), then give it its final name ``path``.

    Whatever happens, ``path`` is the old file or the whole new one. Raises RunError when it cannot be
    written.
    """
    temporary = path.with_name(path.name + ".tmp")
    with disk_errors(path):
        try:
            write(temporary)
            if durable:
                sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """``data`` as the file ``path``, atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(data), durable=durable)


def sync(path: Path) -> None:
    """Wait until ``path`` (a file, or a folder's list of names) is on the disk."""
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there; NTFS journals its names
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_checkpoint(folder: Path, number: int, state: dict[str, Any]) -> None:
    """Write ``state`` as checkpoint ``number``: arrays, numbers, strings, lists and dicts of the last two."""
    arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
    plain = {key: value for key, value in state.items() if key not in arrays}
    buffer = io.BytesIO()
    header = json.dumps(
        {"number": number, "plain": plain}, default=_plain
    ).encode()  # floats: shortest exact text
    buffer.write(len(header).to_bytes(8, "little") + header)
    for key, value in arrays.items():
        name = key.encode()
        buffer.write(len(name).to_bytes(8, "little") + name)
        np.lib.format.write_array(buffer, np.asarray(value, order="C"), allow_pickle=False)
    payload = buffer.getvalue()
    digest = hashlib.sha256(payload).hexdigest().encode()
    write_bytes(folder / _SLOTS[number % 2], _MAGIC + digest + b"\n" + payload)
    with disk_errors(folder):
        sync(folder)


def read_checkpoint(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The newest whole checkpoint in ``folder`` as (number, state); None where there is none.

    Raises RunError when there are checkpoint files and each of them is damaged.
    """
    found = [folder / name for name in _SLOTS if (folder / name).exists()]
    whole = [checkpoint for path in found if (checkpoint := _read_one(path)) is not None]
    if found and not whole:
        raise RunError(f"the checkpoint in {folder} is damaged (its checksum is wrong); start the run anew")
    return max(whole, key=lambda checkpoint: checkpoint[0], default=None)


def _read_one(path: Path) -> tuple[int, dict[str, Any]] | None:
    data = path.read_bytes()
    start = len(_MAGIC) + 64 + 1
    payload = data[start:]
    if (
        not data.startswith(_MAGIC)
        or hashlib.sha256(payload).hexdigest().encode() != data[len(_MAGIC) : start - 1]
    ):
        return None
    stream: BinaryIO = io.BytesIO(payload)
    try:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        state: dict[str, Any] = dict(header["plain"])
        while length := stream.read(8):
            name = stream.read(int.from_bytes(length, "little")).decode()
            state[name] = np.lib.format.read_array(stream, allow_pickle=False)
        return int(header["number"]), state
    except (ValueError, TypeError, KeyError, EOFError, OverflowError, MemoryError):
        return None  # its sum is right and yet it is none: somebody made it so


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint holds arrays, numbers and strings, not {type(value).__name__}")


def lock(path: Path) -> Any:
    """An open file that no other process can lock while this one lives; None where locks do not work."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RunError(f"another run is writing into {path.parents[1]}; choose another folder") from None
    except OSError:  # a file system without locks
        file.close()
        return None
    return file


@contextlib.contextmanager
def locked(path: Path, *, shared: bool, wait: bool = False) -> Iterator[bool]:
    """Whether the lock was free; it is held until the end. True where the system has no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield True
        return
    with disk_errors(path), path.open("ab") as file:
        kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(file, kind)
        except BlockingIOError:
            yield False
            return
        except OSError:  # a file system without locks
            yield True
            return
        yield True
