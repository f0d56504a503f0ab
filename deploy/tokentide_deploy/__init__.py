"""tokentide: deploy."""
