"""Tables, figures and the one HTML file, read from a run folder and nothing else."""
