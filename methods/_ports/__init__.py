"""Algorithms re-implemented from their papers and checked against the official code."""
