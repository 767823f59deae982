"""Worker: what SAELens makes of folders, by its own loader from disk.

    python saelens.py JOBS.json OUT.safetensors

Each job is ``{"name", "folder", "dtype", "rows"}``, ``rows`` a safetensors file with ``x`` [B, d].
It gives the tensors ``NAME.f`` and ``NAME.x_hat``, and prints JSON: name -> configuration.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from sae_lens import SAE
from safetensors.torch import load_file, save_file


def main(jobs: str, out: str) -> None:
    tensors, configurations = {}, {}
    for job in json.loads(Path(jobs).read_text()):
        sae = SAE.load_from_disk(job["folder"], dtype=job["dtype"])
        x = load_file(job["rows"])["x"].to(sae.dtype)
        with torch.no_grad():
            f = sae.encode(x)
            tensors[f"{job['name']}.f"] = f
            # A transcoder's skip reads x.
            whole = "transcoder" in sae.cfg.architecture()
            tensors[f"{job['name']}.x_hat"] = sae(x) if whole else sae.decode(f)
        norms = sae.W_dec.norm(dim=1).double()
        configurations[job["name"]] = sae.cfg.to_dict() | {
            "class": type(sae).__name__,
            "largest_norm_error": float((norms - 1).abs().max()),
        }
    save_file(tensors, out)
    print(json.dumps(configurations))


if __name__ == "__main__":
    main(*sys.argv[1:])
