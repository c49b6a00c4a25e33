"""Figures of integrated embeddings."""
