"""Model folders that must not enter the store: each entry changes one thing in a good one."""

import gzip
import io
import json
import os
import pickle
import socket
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

Change = Callable[[Path], None]
GOOD_CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "id2label": {str(number): f"{number + 1} stars" for number in range(5)},
}
GOOD_TENSORS = {
    "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "b": {"dtype": "F16", "shape": [4], "data_offsets": [16, 24]},
}
GOOD_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Dense", "type": "sentence_transformers.models.Dense"},
]


class Exploit:
    def __reduce__(self):
        return os.system, ("touch /tmp/pwned",)


def good(folder: Path) -> Path:
    """A folder that is trusted."""
    (folder / "1_Dense").mkdir(parents=True)
    documents = {
        "config.json": GOOD_CONFIG,
        "modules.json": GOOD_MODULES,
        "1_Dense/config.json": {"in_features": 4, "activation_function": "torch.nn.modules.activation.Tanh"},
        "tokenizer.json": {"model": {"vocab": {"auto_map": 0, "kernel": 1}}},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": int(1e30)},
    }
    for name, value in documents.items():
        (folder / name).write_text(json.dumps(value))
    (folder / "vocab.txt").write_text("a\nb\n")
    (folder / "spiece.model").write_bytes(b"\n\x0e\n\x05<unk>")
    (folder / "model.safetensors").write_bytes(weights(GOOD_TENSORS))
    return folder


def weights(header: object, data: bytes = bytes(24), length: int | None = None, raw: bytes | None = None) -> bytes:
    text = json.dumps(header).encode() if raw is None else raw
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def put(name: str, content: bytes | str) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def say(name: str, value: object) -> Change:
    return put(name, json.dumps(value))


def config(**keys: object) -> Change:
    return say("config.json", GOOD_CONFIG | keys)


def tensors(*entries: object, data: int = 24) -> Change:
    return put("model.safetensors", weights({str(number): entry for number, entry in enumerate(entries)}, bytes(data)))


def tensor(start: int, stop: int, shape: list | None = None, dtype: str = "U8", **more: object) -> dict:
    return {"dtype": dtype, "shape": [stop - start] if shape is None else shape, "data_offsets": [start, stop], **more}


def sparse(name: str, size: int) -> Change:
    def change(folder: Path) -> None:
        with (folder / name).open("ab") as handle:
            handle.truncate(size)

    return change


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/passwd"))
    return buffer.getvalue()


def symlink(folder: Path) -> None:
    (folder / "merges.txt").symlink_to("/etc/passwd")


def symlink_inside(folder: Path) -> None:
    (folder / "merges.txt").symlink_to("vocab.txt")


def linked_folder(folder: Path) -> None:
    (folder / "2_Normalize").symlink_to("/etc")


def dangling(folder: Path) -> None:
    (folder / "merges.txt").symlink_to("/nowhere/at/all")


def hard_link(folder: Path) -> None:
    outside = folder.parent / "outside.txt"
    outside.write_text("secret")
    os.link(outside, folder / "merges.txt")


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "merges.txt")


def unix_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path has at most 107 bytes
        try:
            server.bind("merges.txt")
        finally:
            os.chdir(here)


def endless_device(folder: Path) -> None:
    """A link that is as good as the device itself, which only root may make."""
    (folder / "merges.txt").symlink_to("/dev/zero")


def deep_folders(folder: Path) -> None:
    put("a/b/c/d/config.json", "{}")(folder)


def many_entries(folder: Path) -> None:
    for number in range(1001):
        (folder / f"n{number}.txt").touch()


def undecodable(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/vocab\xff.txt")).touch()


def folder_for_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


HOSTILE: dict[str, Change] = {
    # Names.
    "python": put("modeling_bert.py", "print()"),
    "pickled weights": put("pytorch_model.bin", b"\x80\x02}q\x00."),
    "name with dots": put("..config.json", "{}"),
    "hidden file": put(".gitattributes", ""),
    "hidden folder": put(".cache/x.json", "{}"),
    "uppercase suffix": put("vocab.TXT", "a"),
    "suffix behind a blank": put("vocab.txt ", "a"),
    "suffix behind a newline": put("vocab.txt\n", "a"),
    "double suffix": put("vocab.txt.py", "a"),
    "no suffix": put("LICENSE", "MIT"),
    "backslash": put("..\\..\\config.json", "{}"),
    "look-alike letters": put("cοnfig.json", "{}"),
    "escape sequence": put("\x1b[2Jvocab.txt", "a"),
    "undecodable name": undecodable,
    "case twin": put("Config.json", "{}"),
    "too deep folders": deep_folders,
    "too many entries": many_entries,
    "adapter": say("adapter_config.json", {"base_model_name_or_path": "evil/base"}),
    # Kinds of entries.
    "symlink out": symlink,
    "symlink inside": symlink_inside,
    "dangling symlink": dangling,
    "symlinked folder": linked_folder,
    "hard link": hard_link,
    "fifo": fifo,
    "socket": unix_socket,
    "link to an endless device": endless_device,
    "folder for a file": folder_for_config,
    # Other formats under good names.
    **{f"pickle {n} as weights": put("model.safetensors", pickle.dumps(Exploit(), n)) for n in range(6)},
    "pickle as model": put("spiece.model", pickle.dumps(Exploit(), 4)),
    "old pickle as model": put("spiece.model", pickle.dumps(Exploit(), 0)),
    "old pickle as config": put("config.json", pickle.dumps(Exploit(), 0)),
    "zip as json": put("tokenizer.json", zipped(b"x")),
    "zip bomb as json": put("tokenizer.json", zipped(bytes(20 << 20))),
    "zip as weights": put("model.safetensors", zipped(b"x")),
    "empty zip as text": put("vocab.txt", b"PK\x05\x06" + bytes(18)),
    "gzip as text": put("vocab.txt", gzip.compress(b"x")),
    "bzip2 as text": put("vocab.txt", b"BZh91AY&SY"),
    "xz as text": put("vocab.txt", b"\xfd7zXZ\x00"),
    "zstandard as text": put("vocab.txt", b"\x28\xb5\x2f\xfd"),
    "7z as weights": put("model.safetensors", b"7z\xbc\xaf\x27\x1c" + bytes(64)),
    "tar as model": put("spiece.model", tarred()),
    "program as model": put("spiece.model", b"\x7fELF\x02\x01\x01"),
    "HDF5 as weights": put("model.safetensors", b"\x89HDF\r\n\x1a\n" + bytes(64)),
    "binary text": put("vocab.txt", b"\xff\xfe\x00a"),
    "NUL in text": put("vocab.txt", b"a\x00b"),
    # Sizes.
    "huge json": sparse("tokenizer.json", (64 << 20) + 1),
    "huge text": sparse("vocab.txt", (64 << 20) + 1),
    "huge template file": put("chat_template.jinja", "x" * ((256 << 10) + 1)),
    # Headers of weights.
    "empty weights": put("model.safetensors", b""),
    "header length 0": put("model.safetensors", weights({}, length=0)),
    "header length 2**63": put("model.safetensors", weights(GOOD_TENSORS, length=2**63)),
    "header longer than the file": put("model.safetensors", weights(GOOD_TENSORS, length=4000)),
    "header of 100 MB": put("model.safetensors", weights(GOOD_TENSORS, length=100_000_000)),
    "header cut short": put("model.safetensors", weights(GOOD_TENSORS)[:40]),
    "header not an object": put("model.safetensors", weights([1])),
    "header not JSON": put("model.safetensors", weights({}, raw=b"{'a': 1}")),
    "header with NaN": put("model.safetensors", weights({}, raw=b'{"a": NaN}')),
    "header with a name twice": put(
        "model.safetensors",
        weights({}, raw=b'{"a":%b,"a":%b}' % ((json.dumps(GOOD_TENSORS["a"]).encode(),) * 2), data=bytes(16)),
    ),
    "deep header": put("model.safetensors", weights({}, raw=b'{"a":' + b"[" * 100_000)),
    "no tensors": put("model.safetensors", weights({"__metadata__": {}}, b"")),
    "too many tensors": tensors(*[tensor(0, 0)] * 20_001, data=0),
    "metadata not texts": put("model.safetensors", weights({"__metadata__": {"a": [1]}, **GOOD_TENSORS})),
    "overlap": tensors(tensor(0, 16), tensor(8, 24)),
    "same bytes twice": tensors(tensor(0, 24), tensor(0, 24)),
    "hole": tensors(tensor(0, 8), tensor(16, 24)),
    "hole at the beginning": tensors(tensor(8, 24)),
    "data behind the tensors": tensors(tensor(0, 24), data=4096),
    "data missing": tensors(tensor(0, 24), data=23),
    "shape does not fit": tensors(tensor(0, 24, shape=[25])),
    "negative shape": tensors(tensor(0, 24, shape=[-4, -6])),
    "negative offsets": tensors(tensor(-24, 0), data=24),
    "reversed offsets": tensors({"dtype": "U8", "shape": [24], "data_offsets": [24, 0]}),
    "fractional shape": tensors(tensor(0, 24, shape=[24.0])),
    "boolean shape": tensors(tensor(0, 24, shape=[True, 24])),
    "shape of huge numbers": tensors(tensor(0, 24, shape=[10**39, 10**39])),
    "shape of many numbers": tensors(tensor(0, 24, shape=[1] * 1000 + [24])),
    "unknown dtype": tensors(tensor(0, 24, dtype="OBJECT")),
    "dtype not a text": tensors({**tensor(0, 24), "dtype": ["U8"]}),
    "unknown field": tensors(tensor(0, 24, code="os.system")),
    "three offsets": tensors({"dtype": "U8", "shape": [24], "data_offsets": [0, 24, 24]}),
    # JSON.
    "deep json": put("tokenizer.json", b"[" * 100_000),
    "deep objects": put("tokenizer.json", b'{"a":' * 40 + b"1" + b"}" * 40),
    "open string": put("tokenizer.json", b'"' + b'\\"' * 500_000),
    "same key twice": put("config.json", '{"model_type": "t5", "model_type": "bert"}'),
    "NaN": put("config.json", '{"model_type": "bert", "layer_norm_eps": NaN}'),
    "infinite number": put("config.json", '{"model_type": "bert", "layer_norm_eps": 1e999}'),
    "huge number": put("config.json", '{"model_type": "bert", "vocab_size": 1%s}' % ("0" * 10_000)),
    "UTF-16": put("config.json", json.dumps(GOOD_CONFIG).encode("utf-16")),
    "byte order mark": put("config.json", b"\xef\xbb\xbf" + json.dumps(GOOD_CONFIG).encode()),
    "not JSON": put("config.json", "model_type: bert"),
    # What configurations say.
    "no config": lambda folder: (folder / "config.json").unlink(),
    "config not an object": say("config.json", [GOOD_CONFIG]),
    "another model_type": config(model_type="t5"),
    "no model_type": say("config.json", {"hidden_size": 4}),
    "auto_map": config(auto_map={"AutoModel": "evil--modeling.Evil"}),
    "nested auto_map": config(task_specific_params={"a": [{"auto_map": {}}]}),
    "trust_remote_code": config(trust_remote_code=True),
    "_attn_implementation_internal": config(_attn_implementation_internal="evil/kernel"),
    "_experts_implementation_internal": config(_experts_implementation_internal="evil/kernel"),
    "attn_implementation": config(attn_implementation="evil/kernel:forward"),
    "escaped key": put("config.json", '{"model_type": "bert", "\\u0061uto_map": {}}'),
    "use_kernels": config(use_kernels=True),
    "quantization": config(quantization_config={"modules": "evil.module"}),
    "unknown key": config(run_this="evil"),
    "per-layer configuration": config(per_layer_config={"0": {}}),
    "class as a path": config(architectures=["os.system"]),
    "dtype as an attribute": config(torch_dtype="load"),
    "too many layers": config(num_hidden_layers=10**6),
    "too large": config(vocab_size=10**12),
    "generation code": say("generation_config.json", {"custom_generate": "evil/repo"}),
    "kernels for a tokenizer": say("tokenizer_config.json", {"kernel_config": {}}),
    "tokenizer auto_map": say("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.T", None]}}),
    "tokenizer class as a path": say("tokenizer_config.json", {"tokenizer_class": "evil.module.T"}),
    "tokenizer class as a list": say("tokenizer_config.json", {"tokenizer_class": ["T"]}),
    "tokenizer reads another file": say("tokenizer_config.json", {"vocab_file": "/etc/passwd"}),
    "huge chat template": say("tokenizer_config.json", {"chat_template": "x" * ((256 << 10) + 1)}),
    "huge named template": say("tokenizer_config.json", {"chat_template": [{"name": "a", "template": "x" * 300_000}]}),
    "foreign module": say("modules.json", [{"path": "", "type": "os.system"}]),
    "module of a look-alike": say("modules.json", [{"path": "", "type": "sentence_transformers_evil.Model"}]),
    "module path outside": say("modules.json", [{"path": "../..", "type": "sentence_transformers.models.Dense"}]),
    "modules not a list": say("modules.json", {"type": "sentence_transformers.models.Dense"}),
    "module arguments": say("sentence_bert_config.json", {"model_args": {"trust_remote_code": True}}),
    "module imports": say("1_Dense/config.json", {"activation_function": "os.system"}),
    "index outside": say("model.safetensors.index.json", {"weight_map": {"a": "../other.safetensors"}}),
    "index with NUL": say("model.safetensors.index.json", {"weight_map": {"a": "model.safetensors\0"}}),
    "index of a missing shard": say("model.safetensors.index.json", {"weight_map": {"a": "none.safetensors"}}),
    "index without a map": say("model.safetensors.index.json", {"metadata": {}}),
}
