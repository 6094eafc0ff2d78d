"""What people decided about a run's candidates, and how the run stands with it."""
