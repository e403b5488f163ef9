"""Floor 2, what a model holds: its inventory of rows, and the counts that fold over it."""
