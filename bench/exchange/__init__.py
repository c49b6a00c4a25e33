"""The exchange between the harness and a method's process: inputs, predictions, expression by blocks."""
