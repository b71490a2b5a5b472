"""Signatures of manifests: whoever holds the private key vouches for what a store contains.

Digests prove that files did not change since they came in; a signature proves who let them in, also against somebody who
can rewrite manifest and files together. Ed25519, keys as PEM files (``openssl genpkey -algorithm ed25519``); the
signature of ``manifest.json`` lies beside it in ``manifest.sig``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from model_store.errors import ModelStoreError, TamperedModel
from model_store.lock import MANIFEST, SIGNATURE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class UnusableKey(ModelStoreError):
    """A key file that cannot be read as the Ed25519 key it should be."""


def sign(folder: Path, private_key: Path) -> None:
    """Write the signature of a stored model's manifest. Raises ``UnusableKey``, ``OSError``."""
    signature = _private(private_key).sign((folder / MANIFEST).read_bytes())
    new = folder / f".{SIGNATURE}.new"
    new.write_bytes(signature)
    new.chmod(0o444)
    new.replace(folder / SIGNATURE)


def require_signature(folder: Path, key: str, public_key: Path) -> None:
    """Raises ``TamperedModel`` when model ``key`` is not signed with this key's other half, and ``UnusableKey``."""
    from cryptography.exceptions import InvalidSignature

    try:
        _public(public_key).verify((folder / SIGNATURE).read_bytes(), (folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise TamperedModel(key, SIGNATURE, "the model is not signed, and this machine asks for signatures") from error
    except InvalidSignature as error:
        raise TamperedModel(key, SIGNATURE, "the signature is not of this manifest and key") from error


def _private(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise UnusableKey(f"{path} cannot be read as a private key in PEM without a password.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{path} is no Ed25519 key; make one with `openssl genpkey -algorithm ed25519`.")
    return key


def _public(path: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UnusableKey(f"{path} cannot be read as a public key in PEM.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UnusableKey(f"{path} is no Ed25519 key.")
    return key
