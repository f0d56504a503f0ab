"""tokentide: dashboards."""
