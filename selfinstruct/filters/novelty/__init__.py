"""ROUGE-L against a pool of any size, decided as rouge-score would."""
