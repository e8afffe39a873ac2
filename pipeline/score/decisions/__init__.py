"""Decisions: which label to write for probabilities, so that the metric is expected to be best."""
