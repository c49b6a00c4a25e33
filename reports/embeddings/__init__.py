"""What ``bench embed`` has put into a run."""
