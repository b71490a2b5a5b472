"""A plain embeddings server, as most teams write their first: FastAPI, sentence-transformers, one process.

It runs in an environment of its own, and imports nothing of Muster: ``MODEL`` is the folder of the model's files.
"""

import os

from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

app = FastAPI()
model = SentenceTransformer(os.environ["MODEL"], device="cpu", local_files_only=True)


class Texts(BaseModel):
    """The request."""

    input: list[str]


@app.post("/embeddings")
def embeddings(texts: Texts) -> dict[str, list[dict[str, list[float]]]]:
    """A vector for each text, in order."""
    return {"data": [{"embedding": row} for row in model.encode(texts.input).tolist()]}
