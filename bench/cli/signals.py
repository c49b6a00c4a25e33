"""Signals that tell a command to end."""

from __future__ import annotations


def interrupt(*_: object) -> None:
    """Handler of SIGTERM: a command that is told to end cleans up as after Ctrl-C."""
    raise KeyboardInterrupt
