"""Blends: what makes one table of probabilities out of the members': weights and pools."""
