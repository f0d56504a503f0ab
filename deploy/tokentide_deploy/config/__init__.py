"""Every setting of every process: listed, shown with its origin, checked, and written down as documentation."""
