"""The configuration: its schema, values from files and options, and what older runs stored."""
