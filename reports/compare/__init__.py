"""Changes between two run folders: ``bench compare``."""
