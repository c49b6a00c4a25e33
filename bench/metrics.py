"""Every metric of every task as a function of plain arrays."""
