"""One module per task: problem, metrics, controls."""
