"""The run folder: records, tables, merging."""
