"""What is installed, and environments of their own for methods."""
