"""Figures of differential expression."""
