"""One set of compiler options for every numba kernel of the project, and a cache folder that always works.

A cached kernel costs milliseconds on the next start, a compilation costs seconds. numba refuses to import a cached
function when it finds no writable folder for it, so the folder is chosen here, before numba is imported: what the
user set in ``NUMBA_CACHE_DIR``, else the user's cache folder, else a temporary one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def choose_cache_folder() -> Path:
    """The first writable folder of: NUMBA_CACHE_DIR, the user's cache folder, a per-user temporary folder."""
    candidates = []
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        candidates.append(Path(given))
    import platformdirs

    candidates.append(Path(platformdirs.user_cache_dir("rfasim")) / "numba")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    candidates.append(Path(tempfile.gettempdir()) / f"rfasim-numba-{user}")
    for folder in candidates:
        if _is_writable(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix="rfasim-numba-"))


CACHE_FOLDER = choose_cache_folder()
os.environ["NUMBA_CACHE_DIR"] = str(CACHE_FOLDER)

import numba  # noqa: E402  (the cache folder must be known before numba is imported)

# No "nnan"/"ninf": a NaN must stay visible. No "parallel": without libgomp numba's own pool aborts the process when
# two Python threads use it, and its threads spin; kernels release the GIL and callers split the work instead.
OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "boundscheck": False,
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},
    "error_model": "numpy",
}


def kernel(function: F) -> F:
    """Compile ``function`` with the project's options (see ``OPTIONS``)."""
    return numba.njit(**OPTIONS)(function)  # type: ignore[no-any-return]


def inline_kernel(function: F) -> F:
    """Like :func:`kernel`, inlined into its callers: for the few lines that several kernels share."""
    return numba.njit(inline="always", **OPTIONS)(function)  # type: ignore[no-any-return]
