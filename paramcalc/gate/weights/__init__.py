"""Weight files: their headers say what they hold; the weights themselves are never read."""
