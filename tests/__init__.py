"""The tests: one file a module, about behaviour."""
