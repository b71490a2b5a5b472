"""A step's attention where several heads share keys and values (Mistral): these are read once for all of them.

transformers repeats keys and values for every head before it attends, which moves several times the cache with every token.
The heads of a group see the same columns, so here they are the rows of one small query.
"""

from typing import Any

ATTENTION = "muster_grouped"


def use_grouped_attention(model: Any) -> None:
    """Where the model has such heads and attends with torch's kernel."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    config = model.config
    shared = getattr(config, "num_key_value_heads", None)
    if shared is None or shared >= config.num_attention_heads or config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(ATTENTION, grouped_attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    model.set_attn_implementation(ATTENTION)


def grouped_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, scaling: float | None = None, **more: Any
) -> tuple[Any, None]:
    """query: (rows, heads, tokens, width); key, value: (rows, groups, columns, width) -> (rows, tokens, heads, width).

    ``attention_mask``: (rows, 1, tokens, columns) or None.
    """
    import torch

    rows, heads, tokens, width = query.shape
    groups = key.shape[1]
    if tokens > 1:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
        return output, None
    together = query.view(rows, groups, heads // groups, width)
    attended = torch.nn.functional.scaled_dot_product_attention(
        together, key, value, attn_mask=attention_mask, scale=scaling
    )
    return attended.reshape(rows, 1, heads, width), None
