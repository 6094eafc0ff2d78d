"""Inspect a run: counts, candidates, ratings, error rates, damage."""
