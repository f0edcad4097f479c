"""The two ways a user can fail: bad input (exit 2) and a run that could not be completed (exit 1)."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave cannot be used.

    ``path`` is the place in the case file (``electrodes[0].active_length``) or the file's name; the message says
    what was given, what is allowed and what to do.
    """

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(f"{path}: {message}" if path else message)


class RunError(Exception):
    """A run that started and could not go on: where, when, and which part of the model."""
