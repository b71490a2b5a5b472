"""The choice of a text model's engine: by device, and by what the model is made of."""

from deployments.engines.base import Engine
from deployments.engines.device import CPU, Device
from deployments.engines.pooling import UnknownModule, load_head
from deployments.errors import ModelNotReady
from deployments.settings import DeploymentSettings
from model_store import convert
from model_store.stored_model import StoredModel


def load_encoder(stored: StoredModel, settings: DeploymentSettings, device: Device = CPU) -> Engine:
    """Choose, load and return the engine for a stored model; call ``warm()`` before serving.

    Raises ``ConversionFailed`` when the exported graph was proved with another runtime than the installed one,
    ``ModelNotReady`` when there is no engine for such a model.
    """
    engine = _choose(stored, settings, device)
    engine.load()
    return engine


def has_graph(stored: StoredModel) -> bool:
    """Whether the exported graph is all there is to compute, so that the model can run on it."""
    if stored.artefact is None or not convert.is_convertible(stored.files, stored.task):
        return False
    try:
        _ = load_head(stored.files) if stored.task == "embedding" else None
    except UnknownModule:
        return False
    return True


def _choose(stored: StoredModel, settings: DeploymentSettings, device: Device) -> Engine:
    if not has_graph(stored):
        if stored.task != "embedding":
            raise ModelNotReady(stored.key, f"this release has no engine for {stored.task} by such a model")
        from deployments.engines.sentence_encoder import SentenceEncoder

        return SentenceEncoder(stored, settings, device.kind)
    if device.kind == "cpu":
        from deployments.engines.onnx_encoder import OnnxEncoder

        return OnnxEncoder(stored, settings)
    from deployments.engines.packed_encoder import PackedEncoder

    return PackedEncoder(stored, settings, device.kind)
