"""Floor 0, words: errors, sizes, units and names. Imports nothing but the standard library."""
