"""Filters: a text in, the first rule that it breaks out; nothing is changed."""
