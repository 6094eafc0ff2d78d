"""The whole chain, from seed tasks to an aligned model."""
