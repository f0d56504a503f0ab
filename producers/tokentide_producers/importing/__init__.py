"""Rows that other systems have written about past requests, as usage events: each row counted once, however often."""
