"""``bench embed``: cells in the space of a pre-trained model."""
