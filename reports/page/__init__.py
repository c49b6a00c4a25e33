"""The HTML file and the figures beside it."""
