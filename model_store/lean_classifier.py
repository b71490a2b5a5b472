"""A classifier's forward pass, written once for export: the lean encoder, its last layer for the first token only."""

from typing import Any

import torch

from model_store.classification_head import classification_head
from model_store.lean_encoder import LeanEncoder, through
from model_store.lean_row import row_attention


class LeanClassifier(torch.nn.Module):  # type: ignore[misc]
    """``input_ids``, ``attention_mask`` and, where there are two, ``token_type_ids`` (batch, length) -> logits
    (batch, labels)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.encoder = LeanEncoder(model.base_model)
        *self.layers, self.last = self.encoder.layers
        self.attention = row_attention(self.last, self.encoder.heads)
        self._head = classification_head(model)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        embedded = self.encoder.embedded(input_ids, token_type_ids)
        bias = self.encoder.bias(embedded)
        states = through(self.layers, embedded, attention_mask, bias, self.encoder.heads)
        first = states[:, 0]
        mixed = self.attention(first, states, attention_mask, None if bias is None else bias[:, :, 0])
        return self._head(self.last(first, mixed))
