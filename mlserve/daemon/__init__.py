"""The process: what starts, what watches, what stops, in which order."""
