"""The alert engine: reads closed windows from the store, runs the detectors, tells each change of an alert once."""
