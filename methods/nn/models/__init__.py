"""Networks, their sizes and their weights."""
