"""Figures of tasks with classes."""
