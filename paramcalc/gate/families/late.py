"""Late interaction (Khattab & Zaharia 2020) over pages as images: a model of images and text, and a short vector a token."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.recipes import Tree, document
from paramcalc.gate.families.vision import refuse


def late(c: Config) -> Tree:
    """ColPali (Faysse et al. 2024) and its kin on other models: one dense layer behind all tokens."""
    part = c.part("vlm_config")
    words = part.part("text_config")
    parts = nested(part, "model", "vlm")
    width = words.size("hidden_size")
    parts["projection"] = dense("embedding_proj_layer", width, c.size("embedding_dim")) | {"component": "head"}
    if not c.architecture().endswith("ForRetrieval") and c.architecture():
        refuse(c)
    return document(c, parts, width=width, context=words.optional("max_position_embeddings"))


FAMILIES: dict[str, Callable[[Config], Tree]] = {"colmodernvbert": late, "colpali": late, "colqwen2": late}
