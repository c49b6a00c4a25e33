"""Trials from a plan to records in the run folder."""
