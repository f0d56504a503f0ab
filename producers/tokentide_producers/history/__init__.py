"""The scenario of the study's 13 months: what the traffic was like on each day, and a sample of it as usage events."""
