"""What a model learns from: rows and preferences, read from a run or a file, then as tokens."""
