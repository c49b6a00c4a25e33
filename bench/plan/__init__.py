"""The trials there are, and what makes each the same as an earlier one: registry, grid, keys."""
