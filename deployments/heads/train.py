"""Trains light heads on GoEmotions: the base model stays as it is, its embeddings are computed once.

The same embeddings, targets and seed give the same head on the same machine, bit for bit, however many cores it may use:
one thread adds the sums, always in the same order. It is the faster way too: the layers are too small to be shared.

Comments with several labels are soft targets. Rare labels count more, by their frequency to the power of ``-RARE``: without
that, fear and disgust drown in neutral and joy, with more of it accuracy falls. All settings were chosen on a tenth of the
training rows; the development rows are only ever measured.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deployments.engines.light_head import LightHead
from deployments.engines.pooling import Floats
from deployments.heads.goemotions import LabelledTexts, read_texts

HEADS: Mapping[str, str] = {"minilm-emotion": "ekman", "minilm-sentiment": "group"}
"""Catalogue keys, and the label sets of GoEmotions that they are trained on."""
WIDTH, EPOCHS, BATCH = 128, 12, 256
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 1e-2, 0.1
INPUT_DROPOUT, DROPOUT = 0.1, 0.3
RARE = 0.3

Embed = Callable[[tuple[str, ...]], Floats]
"""Texts -> (texts, dimensions)."""


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """``figures``: accuracy and macro-F1 on the development rows with one label. ``content``: a safetensors file."""

    key: str
    labels: tuple[str, ...]
    content: bytes
    figures: Mapping[str, float]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def train_heads(data: Path, embed: Embed, seed: int, progress: Callable[[str], None]) -> list[TrainedHead]:
    """Train all heads. Raises ``InvalidInput`` for a folder without the data set."""
    trained, vectors = [], dict[tuple[str, ...], Floats]()
    for key, name in HEADS.items():
        train, dev = read_texts(data, name, "train"), read_texts(data, name, "dev")
        for texts in (train.texts, dev.texts):
            if texts not in vectors:
                progress(f"{key}: reading {len(texts)} comments with the base model")
                vectors[texts] = embed(texts)
        progress(f"{key}: training")
        content = train_head(vectors[train.texts], train.targets, seed)
        trained.append(TrainedHead(key, train.labels, content, measure(content, vectors[dev.texts], dev)))
    return trained


def train_head(embeddings: Floats, targets: Floats, seed: int) -> bytes:
    """A head as a safetensors file. ``embeddings``: (texts, dimensions); ``targets``: (texts, labels) distributions."""
    from safetensors.numpy import save

    mean, scale = embeddings.mean(axis=0), embeddings.std(axis=0).mean()
    hidden, hidden_bias, output, output_bias = _fit((embeddings - mean) / scale, targets, seed)
    # The head reads embeddings as they are: centring and scaling become part of its first layer.
    hidden = hidden / scale
    tensors = {
        "hidden.weight": hidden,
        "hidden.bias": hidden_bias - hidden @ mean,
        "output.weight": output,
        "output.bias": output_bias,
    }
    return bytes(save({name: np.ascontiguousarray(tensor, dtype=np.float16) for name, tensor in tensors.items()}))


def measure(content: bytes, embeddings: Floats, texts: LabelledTexts) -> dict[str, float]:
    """Accuracy, and F1 averaged over the labels, on the rows with one label."""
    found = LightHead.read(content)(embeddings[texts.single]).argmax(axis=1)
    true = texts.targets[texts.single].argmax(axis=1)
    right = [int(((found == label) & (true == label)).sum()) for label in range(len(texts.labels))]
    named = [int((found == label).sum() + (true == label).sum()) for label in range(len(texts.labels))]
    f1 = [2 * hits / max(1, total) for hits, total in zip(right, named, strict=True)]
    return {"accuracy": float((found == true).mean()), "macro_f1": float(np.mean(f1))}


def _fit(inputs: Floats, targets: Floats, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights and biases of both layers."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _fit_in_one_thread(inputs, targets, seed)
    finally:
        torch.set_num_threads(threads)


def _fit_in_one_thread(inputs: Floats, targets: Floats, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    import torch

    torch.manual_seed(seed)
    shuffle = np.random.default_rng(seed)
    first = torch.nn.Linear(inputs.shape[1], WIDTH)
    second = torch.nn.Linear(WIDTH, targets.shape[1])
    layers = (torch.nn.Dropout(INPUT_DROPOUT), first, torch.nn.ReLU(), torch.nn.Dropout(DROPOUT), second)
    network = torch.nn.Sequential(*layers)
    rows, wanted = torch.from_numpy(inputs), torch.from_numpy(targets * _weights(targets))
    batches = -(-len(rows) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=EPOCHS * batches, pct_start=WARM_UP
    )
    for _ in range(EPOCHS):
        for batch in np.array_split(shuffle.permutation(len(rows)), batches):
            log_odds = torch.log_softmax(network(rows[batch]), dim=1)
            loss = -(wanted[batch] * log_odds).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return _array(first.weight), _array(first.bias), _array(second.weight), _array(second.bias)


def _weights(targets: Floats) -> Floats:
    """(labels,): what a row of each label counts; 1 on average over the rows."""
    frequency = targets.mean(axis=0)
    weights = np.maximum(frequency, 1e-6) ** -RARE
    return np.asarray(weights / (weights * frequency).sum(), dtype=np.float32)


def _array(tensor: Any) -> Floats:
    return np.asarray(tensor.detach().numpy(), dtype=np.float32)
