"""From recorded completions to verdicts: pure and repeatable, without a model."""
