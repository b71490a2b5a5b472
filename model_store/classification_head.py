"""What each family puts behind its transformer to classify: one state of each text -> logits."""

from collections.abc import Callable
from typing import Any

Head = Callable[[Any], Any]


def classification_head(model: Any) -> Head:
    """Of a loaded ``...ForSequenceClassification``: (texts, width) pooled states -> (texts, labels) logits.

    The state is that of the first token; of BART's decoder, that of the last.
    """
    family = model.config.model_type
    if family == "bert":
        return lambda states: model.classifier(model.bert.pooler.dense(states).tanh())
    if family == "distilbert":
        return lambda states: model.classifier(model.pre_classifier(states).relu())
    head = model.classification_head if family == "bart" else model.classifier
    return lambda states: head.out_proj(head.dense(states).tanh())
