"""A classifier's forward pass, written once for export: the lean encoder, its last layer for the first token only."""

from typing import Any

import torch

from model_store.classification_head import classification_head
from model_store.lean_encoder import LeanEncoder, through
from model_store.lean_row import row_attention
from model_store.token_types import token_types


class LeanClassifier(torch.nn.Module):  # type: ignore[misc]
    """``input_ids``, ``attention_mask`` (batch, length) -> logits (batch, labels).

    ``separator``: token between the texts of a pair, for models that have types of tokens.
    """

    def __init__(self, model: Any, separator: int | None = None) -> None:
        super().__init__()
        self.separator = separator
        self.encoder = LeanEncoder(model.base_model)
        *layers, self.last = self.encoder.layers
        self.layers = torch.nn.ModuleList(layers)
        self.attention = row_attention(self.last, self.encoder.heads)
        self._head = classification_head(model)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        types = None if self.separator is None else token_types(input_ids, self.separator)
        embedded = self.encoder.embedded(input_ids, types)
        bias = self.encoder.bias(embedded)
        states = through(self.layers, embedded, attention_mask, bias, self.encoder.heads)
        first = states[:, 0]
        mixed = self.attention(first, states, attention_mask, None if bias is None else bias[:, :, 0])
        return self._head(self.last(first, mixed))
