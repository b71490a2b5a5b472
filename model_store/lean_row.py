"""Attention of one token of each text, for a last layer of which only that token is wanted.

No key and no value is computed: a score q.(K s) is (q K).s, and a weighted sum of values V s is V of the weighted sum of
the states s. So the layer costs one token's work a text instead of every token's.
"""

import torch

from model_store.lean_encoder import Layer, frozen


class RowAttention(torch.nn.Module):  # type: ignore[misc]
    """``rows`` (batch, width) look at ``states`` (batch, length, width) -> what attention makes of them, (batch, width).

    ``projection``: (width, 3 * width), queries, keys and values side by side; ``offsets``: their biases.
    """

    def __init__(self, projection: torch.Tensor, offsets: torch.Tensor, heads: int) -> None:
        super().__init__()
        width = projection.shape[0]
        self.heads, self.depth = heads, width // heads
        query, key, value = projection.chunk(3, dim=1)
        # The keys' bias adds one number to all scores of a query, and softmax takes it out again.
        query_offset, _, value_offset = offsets.chunk(3)
        scale = self.depth**-0.5
        self.query, self.query_offset = frozen(query * scale), frozen(query_offset * scale)
        self.key = frozen(key.reshape(width, heads, self.depth).permute(1, 2, 0))
        self.value = frozen(value.reshape(width, heads, self.depth).permute(1, 0, 2))
        self.value_offset = frozen(value_offset)

    def forward(
        self, rows: torch.Tensor, states: torch.Tensor, mask: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``mask``: (batch, length), 1 for real tokens; ``bias``: (1, heads, length), added to the scores."""
        queries = (rows @ self.query + self.query_offset).view(-1, self.heads, self.depth)
        looked_for = (queries.transpose(0, 1) @ self.key).transpose(0, 1)
        scores = looked_for @ states.transpose(1, 2)
        if bias is not None:
            scores = scores + bias
        weights = scores.masked_fill(mask[:, None] == 0, float("-inf")).softmax(-1)
        found = (weights @ states).transpose(0, 1) @ self.value
        return found.transpose(0, 1).reshape(-1, self.heads * self.depth) + self.value_offset


def row_attention(layer: Layer, heads: int) -> RowAttention:
    """The self-attention of ``layer``."""
    return RowAttention(layer.projection, layer.projection_bias, heads)
