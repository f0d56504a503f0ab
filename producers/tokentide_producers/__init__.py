"""tokentide: producers."""
