"""The health of a training on preferences: the verdict, its page, and the measuring callback."""
