"""Maps that ``bench embed`` has put into a run."""
