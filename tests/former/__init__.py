"""Checks and parsers as they were until they were made fast for long texts: an oracle."""
