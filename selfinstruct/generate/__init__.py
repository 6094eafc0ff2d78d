"""The loop, and whatever else asks a model for the tasks of a run."""
