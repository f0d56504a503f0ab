"""Cold backups of one data directory: one tar file with a manifest of what is in it."""
