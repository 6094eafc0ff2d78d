"""Filters: each takes a text and returns the first rule that it breaks; it changes nothing."""
