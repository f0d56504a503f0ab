"""One module for each command of `tokentide`; cli.py lists them."""
