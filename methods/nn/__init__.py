"""What the sequence models share."""

from bench.methods.nn._scan import selective_scan

__all__ = ["selective_scan"]
