"""From recorded completions to verdicts: pure, and the same whenever done again; no model."""
