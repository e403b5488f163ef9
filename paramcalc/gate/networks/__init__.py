"""The image networks of timm (PyTorch Image Models 1.0.31): a name stands for options, a recipe makes parts of them."""
