"""Language models of Moshi's make, which read text and codes of sound: Moshi's own and Kyutai's, which writes speech down."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import attention, decoder
from paramcalc.gate.families.nesting import tower
from paramcalc.gate.families.recipes import Tree, plain_activation, tree
from paramcalc.gate.families.vision import refuse


def language_model(c: Config, vocabulary: int, *, tie: bool | None, table: str = "embed_tokens") -> Tree:
    """Llama's layers with a window everywhere and networks whose `ffn_dim` counts gate and values together."""
    names = {f"{letter}_proj": f"{letter}_proj.linear" for letter in "qkvo"}
    size = c.size("ffn_dim")
    if size % 2:
        c.fail("ffn_dim", f"expected an even number, got {size}")

    def attend(c: Config, _: str) -> Tree:
        return attention(c, "local", bias=False, rounded=True, names=names)

    def feed(c: Config) -> Tree:
        fields = tree(size=max(1, size // 2), fused=True, activation=plain_activation(c, "hidden_act", "silu"))
        return {"kind": "feed_forward", "path": "mlp", **fields, "names": {"gate_up_proj": "fc1", "down_proj": "fc2"}}

    made = decoder(c, attend=attend, feed=feed, tie=tie, embed=table)
    made["parts"]["embedding"]["vocabulary"] = vocabulary
    return made


def moshi(c: Config) -> Tree:
    """The language model of Moshi (Défossez et al. 2024), with one token more in its table than in its head. Untied."""
    if c.task("causal_lm") not in ("base", "causal_lm"):
        c.fail("architectures", f"{c.architecture()} is not modelled; only the language model is")
    return language_model(c, c.size("vocab_size") + 1, tie=None)


def kyutai(c: Config) -> Tree:
    """Kyutai's speech to text (Zeghidour et al. 2025): codes of all codebooks in the text's table, and Mimi beside it."""
    task = c.task("generation")
    if task not in ("base", "generation"):
        refuse(c)
    rows = c.size("vocab_size") + c.size("num_codebooks") * c.size("codebook_vocab_size") + 1
    c.serves = task
    made = language_model(c, rows, tie=False, table="embed_tokens.embed_tokens")
    if task == "base":
        return made
    return made | {"parts": tower(c.part("codec_config"), "codec", "codec_model", tower="audio") | made["parts"]}


FAMILIES = {"kyutai_speech_to_text": kyutai, "moshi": moshi}
