"""Honest numbers: metrics, splits, calibration, blending, decisions, intervals, cross-fitting."""
