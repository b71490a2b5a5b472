"""Signed manifests: only the holder of the key can vouch for a model."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tiny_models import case

from model_store.errors import TamperedModel
from model_store.signing import UnusableKey, require_signature, sign

PRIVATE = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
PUBLIC = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def keys(folder, name, private=None):
    private = private or Ed25519PrivateKey.generate()
    (folder / f"{name}.pem").write_bytes(private.private_bytes(*PRIVATE))
    (folder / f"{name}.pub").write_bytes(private.public_key().public_bytes(*PUBLIC))
    return folder / f"{name}.pem", folder / f"{name}.pub"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    (made / "manifest.json").write_bytes((case("bert").stored.folder / "manifest.json").read_bytes())
    return made


def test_a_signature_holds_for_its_manifest_and_key_only(tmp_path, folder):
    private, public = keys(tmp_path, "ours")
    _, strangers = keys(tmp_path, "theirs")
    with pytest.raises(TamperedModel, match=r"manifest\.sig: the model is not signed"):
        require_signature(folder, "toy", public)
    sign(folder, private)
    require_signature(folder, "toy", public)
    with pytest.raises(TamperedModel, match="not of this manifest and key"):
        require_signature(folder, "toy", strangers)
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace("0", "1", 1))
    with pytest.raises(TamperedModel, match="not of this manifest and key"):
        require_signature(folder, "toy", public)


def test_other_keys_are_refused_by_name(tmp_path, folder):
    private, public = keys(tmp_path, "curve", generate_private_key(SECP256R1()))
    with pytest.raises(UnusableKey, match=r"curve\.pem is no Ed25519 key; make one with"):
        sign(folder, private)
    sign(folder, keys(tmp_path, "good")[0])
    with pytest.raises(UnusableKey, match=r"curve\.pub is no Ed25519 key"):
        require_signature(folder, "toy", public)
    with pytest.raises(UnusableKey, match=r"none\.pem cannot be read"):
        sign(folder, tmp_path / "none.pem")


def pem(kind, head, raw):
    """As OpenSSL 3 writes it: the algorithm's fixed head (RFC 8410) and the key's 32 bytes fit into one line."""
    return f"-----BEGIN {kind}-----\n{base64.b64encode(bytes.fromhex(head) + raw).decode()}\n-----END {kind}-----\n"


def test_keys_made_as_the_manual_says_work(tmp_path, folder):
    """`openssl genpkey -algorithm ed25519` writes PKCS #8, `openssl pkey -pubout` SubjectPublicKeyInfo."""
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "muster.pem", tmp_path / "muster.pub"
    private.write_text(pem("PRIVATE KEY", "302e020100300506032b657004220420", key.private_bytes_raw()))
    public.write_text(pem("PUBLIC KEY", "302a300506032b6570032100", key.public_key().public_bytes_raw()))
    sign(folder, private)
    require_signature(folder, "toy", public)
    ours = keys(tmp_path, "ours", key)
    assert [path.read_text() for path in ours] == [private.read_text(), public.read_text()]
