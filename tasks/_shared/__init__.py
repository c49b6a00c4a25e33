"""Parts of several tasks: donors, splits, labels, zeros."""
