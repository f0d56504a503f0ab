"""The report: the study "State of AI" over one's own traffic, as one HTML file."""
