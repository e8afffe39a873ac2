"""Where files are, how they are written, committed, locked and joined."""
