"""The loop, and everything else that asks a model for the tasks of a run."""
