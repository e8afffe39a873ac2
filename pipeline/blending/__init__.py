"""Blending: what is blended, read and checked; the fitted blend on disk; the blend on the test images."""
