"""The report's plots and template."""
