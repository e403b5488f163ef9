"""What linear attention keeps where transformers finds flash-linear-attention and causal-conv1d installed."""

from __future__ import annotations

from paramcalc.costs.training.autograd import BYTES
from paramcalc.costs.training.model_tape import ModelTape
from paramcalc.model.delta_rule import CHUNK
from paramcalc.model.tape import FP32, TOKENS_FIRST, Value


class FlaTape(ModelTape):
    """Records the delta rules and their convolution as one operation each. What they keep is read from flash-linear-attention
    0.5.2 (`ChunkGatedDeltaRuleFunction`, `ChunkKDAFunction`) and causal-conv1d 1.6.1 (`CausalConv1dFn`); nothing was run. All else
    is as ever: the gated norm is transformers' own."""

    def causal_convolution(self, name: str, x: Value, kernel: int, activation: str | None = None, *, module: bool = False) -> Value:
        """Keeps what it reads, and computes again what the activation reads."""
        if module:
            return super().causal_convolution(name, x, kernel, activation, module=True)
        filters = self.weight(f"{name}.weight")
        saved = (x.storage, filters.storage)
        return self.emit("causal convolution", (x, filters), x.tokens, x.width, x.dtype, saved=saved, backward=x.storage.bytes)

    def delta_rule(
        self, query: Value, key: Value, value: Value, decay: Value, beta: Value, *, heads: int, key_heads: int, channels: bool = False
    ) -> Value:
        """Keeps queries and keys of length 1 and the reciprocals of what that was, copies of the values, steps, the decay summed
        up in fp32 (with channels, what it was as well), and one matrix of pairs for each chunk (with channels, two). States and all
        else is computed again."""
        size, rows = BYTES[query.dtype], query.tokens
        pairs = size * rows * heads * CHUNK
        made = {
            "queries": size * query.elements,
            "keys": size * key.elements,
            "lengths": 2 * BYTES[FP32] * rows * key_heads,
            "values": size * value.elements,
            "summed decay": BYTES[FP32] * decay.elements,
            "pairs": 2 * pairs if channels else pairs,
        }
        saved = (beta.storage, *((decay.storage,) if channels else ()), *(self.kept(each, name) for name, each in made.items()))
        keys = key.width // key_heads * heads
        states = size * self.batch * -(-self.length // CHUNK) * keys * value.width // heads
        ahead = states + size * rows * (keys + 2 * value.width)
        again = ahead + states + size * rows * (3 * keys + value.width)
        return self.emit(
            "delta rule",
            (query, key, value, decay, beta),
            rows,
            value.width,
            query.dtype,
            saved=saved,
            temporary=ahead,
            backward=again,
            layout=TOKENS_FIRST,
        )
