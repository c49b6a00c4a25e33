"""Operators written by hand, each with a plain reference."""
