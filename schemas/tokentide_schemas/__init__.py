"""tokentide: schemas."""
