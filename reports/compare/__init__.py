"""What changed between two run folders: ``bench compare``."""
