"""The fold assignment: made, read from a file, checked, told."""
