"""What several tasks need: donors, splits, labels, zeros."""
