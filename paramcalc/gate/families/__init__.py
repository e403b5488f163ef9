"""Families: how a foreign description becomes the full form. One row in `index.py` a model type."""
