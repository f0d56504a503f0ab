"""tokentide: stream."""
