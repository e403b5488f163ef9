"""What Megatron-LM's fused kernels keep for the backward pass, block by block."""

from __future__ import annotations

from typing import Any

from paramcalc.costs.training.autograd import BYTES
from paramcalc.costs.training.kernels import EAGER
from paramcalc.costs.training.loss import LOSSES, Loss
from paramcalc.costs.training.model_tape import ModelTape
from paramcalc.model.parts import Block, Place, kind_of
from paramcalc.model.tape import FP32, Storage, Value

AS_EVER = ("embedding", "position", "dropout", "head")
"""Blocks of which Megatron keeps what torch's own operations keep."""


Kept = dict[str, int]
"""Bytes by what is kept beside a block's input."""


class MegatronTape(ModelTape):
    """Records a block as one operation that keeps what Korthikanti et al. 2022 (§4.1) count: for s tokens of b sequences, a width
    of h and a heads, s·b·h·(34 + 5·a·s/h) bytes a layer of GPT in 16 bits with dropout, 11 + 5·a·s/h of them attention's, 19 the
    feed-forward's (of size 4h) and 4 those of two norms. With parallel ranks s and a are a rank's own (§4.2).

    Beyond the paper: fewer keys and values than queries, gated networks, experts, and flash attention, which keeps a sum for each
    head and token in place of the scores. The few numbers that a norm keeps for each token are left out, as there.
    """

    def block(self, block: Block, x: Value, at: Place) -> Value:
        kind = kind_of(block)
        if kind in AS_EVER:
            return super().block(block, x, at)
        parts = {"norm": self._norm, "attention": self._attention, "feed_forward": self._feed_forward, "experts": self._experts}.get(kind)
        if parts is None:
            raise NotImplementedError(f"{kind} as Megatron's kernels compute it")
        kept = [Storage(size, name, self.where) for name, size in parts(block, x, at).items() if size]
        weights = tuple(self.parameter(row) for row in self.rows.values())
        largest = max((storage.bytes for storage in kept), default=0)
        return self.emit(kind, (x, *weights), x.tokens, x.width, x.dtype, saved=(x.storage, *kept), backward=largest)

    def loss(self, kind: str, of: Loss) -> Value:
        """Cross entropy over a divided vocabulary works in place on fp32 logits: 4 bytes each are all that it makes and keeps."""
        if kind != "plain":
            return LOSSES[kind](self, of)
        logits = of.logits
        kept = Storage(logits.elements * BYTES[FP32], "softmax of the logits", "loss")
        return self.emit("cross entropy", (logits,), 1, 1, FP32, saved=(kept,))

    def _norm(self, block: Any, x: Value, at: Place) -> Kept:
        return {}

    def _attention(self, block: Any, x: Value, at: Place) -> Kept:
        """Queries, keys, values and what the output projection reads; scores after softmax and after dropout, with its mask."""
        if block.source or block.reuses:
            raise NotImplementedError("cross attention as Megatron's kernels compute it")
        heads, kv_heads, head_dim, v_dim = (int(size) for size in block.dims(at))
        tokens, size = x.tokens * self.shares, BYTES[x.dtype]
        widths = {"queries": heads * head_dim, "keys": kv_heads * head_dim, "values": kv_heads * v_dim, "attention": heads * v_dim}
        kept = {name: tokens * width * size for name, width in widths.items()}
        if block.qk_norm:
            kept["queries and keys before their norm"] = kept["queries"] + kept["keys"]
        scores = tokens * heads * self.length
        if self.recipe.selective:
            pass  # the core is computed again from queries, keys and values
        elif self.implementation == EAGER:
            kept["softmax of the scores"] = scores * size
            kept["dropout of the scores"] = scores * (1 + size) if block.dropout else 0
        else:
            kept["sums of flash attention"] = tokens * heads * BYTES[FP32]
        return kept | {"dropout mask": x.elements if block.output_dropout else 0}

    def _feed_forward(self, block: Any, x: Value, at: Place) -> Kept:
        mask = {"dropout mask": x.elements if block.dropout else 0}
        return _network(x.tokens * self.shares, block, BYTES[x.dtype]) | mask

    def _experts(self, block: Any, x: Value, at: Place) -> Kept:
        """Each token once for each expert that it visits, before and after, under an even load; the router's scores in fp32."""
        if not block.visited or not block.router:
            raise NotImplementedError("experts of this form as Megatron's kernels compute them")
        size, tokens = BYTES[x.dtype], x.tokens * (1 if self.expert_parallel else self.shares)
        rows = tokens * block.visited
        routed = _network(rows, block.expert, size)
        shared = _network(x.tokens * self.shares, block.shared, size) if block.shared else {}
        moved = {"tokens by expert": rows * x.width * size, "outputs by expert": rows * x.width * size}
        scores = {"scores of the router": 2 * x.tokens * block.count * BYTES[FP32]}
        return routed | {f"shared: {name}": bytes_ for name, bytes_ in shared.items()} | moved | scores


def _network(tokens: int, network: Any, size: int) -> Kept:
    """What enters the activation, gate and all, and what leaves it."""
    inner = tokens * network.size * size
    return {"before the activation": inner * (1 + network.gated), "after the activation": inner}
