"""Preferences: a policy's own answers, labelled, and the pairs to learn from."""
