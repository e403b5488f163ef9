"""Floor 1, what a model is: parts, blocks, their order, and the rows they make."""
