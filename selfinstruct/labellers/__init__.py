"""What scores answers to a prompt."""
