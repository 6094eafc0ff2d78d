"""What people bring, in any format: seed tasks, topics, texts to avoid, rows to train on."""
