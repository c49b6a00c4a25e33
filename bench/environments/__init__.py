"""Installed software, and environments of their own for methods."""
