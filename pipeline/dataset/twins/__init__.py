"""Which images show the same picture."""
