"""Worker: activations at hooks of TransformerLens, of models of the Hugging Face format.

    python transformer_lens_hooks.py JOBS.json OUT.safetensors

Each job is ``{"name", "model", "hooks", "ids"}``: a folder, names of hooks, token ids [B][L]. It
gives the tensors ``NAME.HOOK`` [B, L, d].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM


def main(jobs: str, out: str) -> None:
    tensors = {}
    for job in json.loads(Path(jobs).read_text()):
        model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval()
        bridge = TransformerBridge.boot_transformers(job["model"], hf_model=model)
        with torch.no_grad():
            _, cache = bridge.run_with_cache(torch.tensor(job["ids"]), names_filter=job["hooks"])
        for hook in job["hooks"]:
            tensors[f"{job['name']}.{hook}"] = cache[hook].clone()
    save_file(tensors, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
