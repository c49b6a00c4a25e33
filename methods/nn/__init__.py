"""The sequence models: kernels, networks, training and embedding. Nothing is imported before it is used."""
