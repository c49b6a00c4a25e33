"""Imputed values in the report."""
