"""Bases of several methods, and bridges to what they wrap."""
