"""A run as the report sees it: loaded, tabulated, ranked."""
