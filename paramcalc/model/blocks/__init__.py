"""One kind of block a module; the module's name is the kind. A module is imported when a model uses its kind."""
