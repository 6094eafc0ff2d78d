"""From a run to training files."""
