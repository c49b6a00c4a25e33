"""Integrated embeddings in the report."""
