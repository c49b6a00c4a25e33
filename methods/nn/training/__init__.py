"""Pre-training, fine-tuning, and the checkpoints they leave."""
