"""How data folders are laid out, and the one table that is read from them."""
