"""Figures of imputed values."""
