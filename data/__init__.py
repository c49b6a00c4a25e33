"""Dataset cards, the built-in cohort, ingest and semantic checks."""
