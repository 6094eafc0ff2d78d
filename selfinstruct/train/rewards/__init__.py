"""What scores the answers of a policy in training."""
