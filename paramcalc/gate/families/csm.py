"""CSM (Sesame 2025): Llama over words and codes of sound, a small Llama over the codebooks of one frame, and Mimi."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.nesting import nested, tower
from paramcalc.gate.families.recipes import Tree, document, tree
from paramcalc.gate.families.vision import refuse, token


def llama(c: Config, name: str, path: str, table: Tree) -> Tree:
    """Llama's layers by the keys and defaults of another class, with a table of its own."""
    part = Config(dict(c.given), "llama", spec=c.spec, place=c.place, over=dict(c.defaults.values), root=c.root)
    made = nested(part, name, path)
    return {name: made[name] | {"embedding": table}}


def codes(c: Config, path: str, size: int, owner: str | None = None) -> Tree:
    """One table for the codes of all codebooks."""
    return tree(kind="embedding", path=path, vocabulary=c.size("num_codebooks") * c.size("vocab_size"), size=size, tied=owner)


def csm(c: Config) -> Tree:
    deep = c.part("depth_decoder_config")
    if c.task("generation") not in ("generation", "base", "waveform"):
        refuse(c)
    width, shared, small = c.size("hidden_size"), deep.size("backbone_hidden_size"), deep.size("hidden_size")
    tied = c.flag("tie_codebooks_embeddings", True)
    table = "embed_tokens.embed_audio_tokens"
    parts: Tree = {"words": {"kind": "embedding", "path": "embed_text_tokens", "vocabulary": c.size("text_vocab_size"), "size": width}}
    parts |= llama(c, "backbone", "backbone_model", codes(deep if tied else c, table, shared if tied else width))
    parts["head"] = {"kind": "head", "path": "lm_head", "outputs": c.size("vocab_size")}
    owner = "backbone.embedding" if tied else None
    parts |= llama(deep, "depth", "depth_decoder.model", codes(deep, "embed_tokens", shared, owner))
    parts["depth_input"] = dense("depth_decoder.model.inputs_embeds_projector", shared, small, False)
    books = max(1, deep.size("num_codebooks") - 1)
    parts["depth_heads"] = token("depth_decoder.codebooks_head.weight", books, small, deep.size("vocab_size")) | {"component": "head"}
    parts |= tower(c.part("codec_config"), "codec", "codec_model")
    return document(c, parts, width=width)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"csm": csm}
