"""A folder as the hub sees it: git blobs and LFS files with their digests, and a commit made from all of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

LFS_SUFFIXES = frozenset({".safetensors", ".bin", ".model", ".h5", ".msgpack", ".onnx", ".ot"})


@dataclass(frozen=True)
class HubFile:
    """``oid`` is the git blob's id: of the content, or of the pointer that stands for it when it is ``lfs``."""

    path: str
    content: bytes
    lfs: bool
    oid: str
    sha256: str
    pointer_size: int

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def sibling(self) -> dict[str, object]:
        """The file in ``/api/models/...?blobs=True``."""
        entry: dict[str, object] = {"rfilename": self.path, "size": len(self.content), "blobId": self.oid}
        if self.lfs:
            entry["lfs"] = {"sha256": self.sha256, "size": len(self.content), "pointerSize": self.pointer_size}
        return entry

    def tree_entry(self) -> dict[str, object]:
        """The file in ``/api/models/.../tree/...``."""
        entry: dict[str, object] = {"type": "file", "path": self.path, "size": len(self.content), "oid": self.oid}
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": self.pointer_size}
        return entry


@dataclass(frozen=True)
class Commit:
    id: str
    files: dict[str, HubFile]

    def tree(self, folder: str, recursive: bool) -> list[dict[str, object]] | None:
        """Entries below a folder; None when there is no such folder."""
        prefix = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, object]] = {}
        for path, file in self.files.items():
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                name = prefix + "/".join(parts[:depth])
                oid = hashlib.sha1(name.encode()).hexdigest()
                entries[name] = {"type": "directory", "path": name, "size": 0, "oid": oid}
            if recursive or len(parts) == 1:
                entries[path] = file.tree_entry()
        return list(entries.values()) if entries or not folder else None


def commit_of(repo_id: str, folder: Path) -> Commit:
    """Read a whole folder; the commit's id follows from the repository's name and the content."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    made = {name: _file(name, content) for name, content in files.items()}
    lines = [repo_id, *(f"{name} {file.etag}" for name, file in made.items())]
    return Commit(hashlib.sha1("\n".join(lines).encode()).hexdigest(), made)


def _file(path: str, content: bytes) -> HubFile:
    sha256 = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
    lfs = Path(path).suffix in LFS_SUFFIXES
    return HubFile(path, content, lfs, _git_blob(pointer if lfs else content), sha256, len(pointer))


def _git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
