"""Scores by class: tables, confusions, maps of cells."""
