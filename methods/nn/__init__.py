"""What the sequence models share: kernels, networks, training and embedding. Nothing is imported before it is used."""
