"""Sources of a text of several: which row and which token is of which, and what each recovers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from sagsae.activations.store import Store
from sagsae.activations.tokens import TokenStore
from sagsae.evaluation.loss_recovered import Contexts, LossRecovered, sum_among

CLEAN, ABLATIONS = "clean", ("zero", "mean")
# Tensors of the baselines: ``source``, ``losses.clean`` and such as ``losses.resid.zero``.
SOURCE, KEPT = "source", "losses"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Names of the sources, and what tells them apart: documents lie source after source.

    Attributes:
        names: in the order of the documents.
        first_document: number of the first document of each.
        train_rows: rows of each in the training store.
        tensors: what is kept of the evaluation contexts: ``source`` [n, L] int64, number of the
            source of every token, and the losses [n, L - 1] float32, clean and of each ablation.
    """

    names: list[str]
    first_document: list[int]
    train_rows: list[int]
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, contexts: TokenStore, train: Store) -> Self | None:
        """The sources of a text, without losses; None where it has one source.

        Args:
            contexts: the evaluation contexts; their metadata say which sources there are.
            train: the training store.
        """
        shares: list[dict[str, Any]] = contexts.metadata.get("sources", [])
        if len(shares) < 2:
            return None
        first = [share["first_document"] for share in shares]
        rows = torch.bincount(_source_of_rows(first, train), minlength=len(first))
        return cls(
            names=[share["name"] for share in shares],
            first_document=first,
            train_rows=rows.tolist(),
            tensors={SOURCE: _source_of(first, contexts.doc_id)},
        )

    @classmethod
    def read(cls, record: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """From what ``record`` gave, and the tensors of the baselines."""
        kept = {name: x for name, x in tensors.items() if name.split(".")[0] in (SOURCE, KEPT)}
        return cls(**record, tensors=kept)

    @property
    def record(self) -> dict[str, Any]:
        """JSON values of all but the tensors."""
        return {k: v for k, v in vars(self).items() if k != "tensors"}

    def keep(self, losses: Tensor, *name: str) -> None:
        """Keep losses to be summed by source later: "clean", or of a hookpoint and ablation."""
        self.tensors[".".join((KEPT, *name))] = losses

    def of_rows(self, store: Store) -> Tensor:
        """[n] int64, number of the source of every row, in stored order."""
        return _source_of_rows(self.first_document, store)

    def recovered(
        self, hookpoint: str, spliced: Tensor, contexts: Contexts
    ) -> list[LossRecovered | None]:
        """Loss Recovered of each source, over the predicted tokens that are of it.

        Args:
            hookpoint: name.
            spliced: [n, L - 1] losses with reconstructions in place.
            contexts: the evaluation contexts.

        Returns:
            In the order of the names; None where no token of a source counts.
        """
        losses = {name: self.tensors[f"{KEPT}.{hookpoint}.{name}"] for name in ABLATIONS}
        losses |= {CLEAN: self.tensors[f"{KEPT}.{CLEAN}"], "sae": spliced}
        recovered: list[LossRecovered | None] = []
        for number in range(len(self.names)):
            among = contexts.predicted & (self.tensors[SOURCE][:, 1:] == number)
            sums = {name: sum_among(x, among) for name, x in losses.items()}
            known = {name: loss for name, loss in sums.items() if loss is not None}
            recovered.append(LossRecovered(**known) if known else None)
        return recovered


def _source_of(first_document: list[int], doc_id: np.ndarray) -> Tensor:
    numbers = np.searchsorted(first_document, doc_id, side="right") - 1
    return torch.from_numpy(numbers.astype(np.int64))


def _source_of_rows(first_document: list[int], store: Store) -> Tensor:
    doc_ids = [store.read_tokens(block)["doc_id"] for block in store.blocks]
    return _source_of(first_document, np.concatenate(doc_ids))
