"""Weights in any format: what a scheme quantizes, and the exact bytes it stores.

`scheme_named` reads `--quant`, `scheme_from_config` a config's own `quantization_config`; `weights_of` gives every tensor
of an architecture with its format and its bytes, part by part (scales, zero points, padding). One module a method:
`plain`, `bitsandbytes`, `gptq`, `awq`, `fp8`, `microscaling`, `packed` (compressed-tensors) and `gguf_mix`.
"""

from __future__ import annotations
