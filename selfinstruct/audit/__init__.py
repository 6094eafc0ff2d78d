"""Look at a run: counts, candidates, and the verdicts judged again."""
