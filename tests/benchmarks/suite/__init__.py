"""`make bench`: everything measured in one run on one machine. See `__main__.py`."""
