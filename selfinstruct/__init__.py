"""Grow a few seed tasks into a filtered instruction dataset with a language model.

Self-Instruct (Wang et al. 2022, arXiv:2212.10560) on vLLM: see README.md for use.
"""

__version__ = "0.1.0"
