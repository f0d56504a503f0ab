"""tokentide: sinks."""
