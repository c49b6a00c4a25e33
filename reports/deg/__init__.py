"""Differential expression in the report."""
