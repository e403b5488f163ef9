"""Record what the reference implementation holds for every bundled architecture that is a family plus numbers.

    python tests/reference/catalogue.py > tests/golden/catalogue.json

Needs the `reference` extra. Builds each on the meta device from the spec's own keys, and sums every parameter once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq

SPECS = Path(__file__).parents[2] / "architectures"


def built(spec: dict[str, Any]) -> torch.nn.Module:
    """The model class that a spec stands for: the one it names, else the one that generates."""
    keys = {key: value for key, value in spec.items() if key not in ("name", "family", "source")}
    named = keys.pop("architectures", None)
    config = AutoConfig.for_model(spec["family"], **keys)
    with torch.device("meta"):
        if named:
            return getattr(transformers, named[0])(config)
        both = (AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq)
        for auto in both if config.is_encoder_decoder else (AutoModelForCausalLM, AutoModelForImageTextToText):
            if type(config) in auto._model_mapping:
                return auto.from_config(config)
        return transformers.AutoModel.from_config(config)


def main() -> None:
    totals: dict[str, int] = {}
    for path in sorted(SPECS.glob("*.yaml")):
        spec = yaml.safe_load(path.read_text())
        if "family" not in spec:
            continue
        try:
            model = built(spec)
        except Exception as error:
            print(f"{path.stem}: {type(error).__name__}: {error}"[:200], file=sys.stderr)
            continue
        totals[path.stem] = sum(parameter.numel() for parameter in model.parameters())
    record = {"origin": f"transformers {transformers.__version__}, torch {torch.__version__}, meta device", "totals": totals}
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
