"""Figures of any task."""
