"""For authors of methods and tasks: scaffold, conformance, leakage audit."""
