"""What people bring: seed tasks, topics, texts to avoid, worked tasks."""
