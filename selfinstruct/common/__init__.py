"""Shared by every room: records, errors, ids, config fields, atomic files."""
