"""Worker: what circuit-tracer makes of a folder of transcoders, by its own loader of sets.

    python circuit_tracer_set.py FOLDER ROWS.safetensors OUT.safetensors

``ROWS`` has ``x`` [B, d]. Gives the tensors ``LAYER.f`` and ``LAYER.y``, and prints JSON: the
number of layers and their hooks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import yaml
from circuit_tracer.transcoder.single_layer_transcoder import load_transcoder_set
from safetensors.torch import load_file, save_file


def main(folder: str, rows: str, out: str) -> None:
    config = yaml.safe_load(Path(folder, "config.yaml").read_text())
    files = sorted(Path(folder).glob("layer_*.safetensors"))
    assert config["model_kind"] == "transcoder_set"
    loaded = load_transcoder_set(
        dict(enumerate(map(str, files))),
        config["scan"],
        config["feature_input_hook"],
        config["feature_output_hook"],
        device=torch.device("cpu"),
        lazy_encoder=False,
        lazy_decoder=False,
    )
    x = load_file(rows)["x"]
    tensors = {}
    with torch.no_grad():
        for layer, transcoder in enumerate(loaded):
            tensors[f"{layer}.f"] = transcoder.encode(x)
            tensors[f"{layer}.y"] = transcoder(x)
    save_file(tensors, out)
    hooks = loaded.feature_input_hook, loaded.feature_output_hook
    print(json.dumps([len(loaded), *hooks, loaded.skip_connection]))


if __name__ == "__main__":
    main(*sys.argv[1:])
