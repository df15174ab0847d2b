"""The file of a backup: a tar stream that ends with a manifest of what it must hold.

The first member says what the file is, the last one names every file between with its size and
SHA-256: a stream that was cut off lacks it, and one that was altered does not agree with it. It is
a check against damage; whoever can write a backup can write its manifest.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import pyarrow as pa

from features.errors import InputError

FORMAT = 1
CODECS = {".zst": "zstd", ".gz": "gzip"}
"""By the end of the file's name."""
_HEAD, _MANIFEST = "backup.json", "manifest.json"
_FOLDER = "workspace/"
_CHUNK = 1 << 20
_LONGEST_NOTE = 1 << 28


@dataclass(frozen=True)
class Member:
    """A file of the workspace as it was read."""

    bytes: int
    sha256: str


def codec_of(path: Path) -> str:
    """Tell by its name how a backup is compressed.

    >>> codec_of(Path("monday.tar.zst"))
    'zstd'
    >>> codec_of(Path("monday.zip"))
    Traceback (most recent call last):
    ...
    features.errors.InputError: monday.zip is no name of a backup; end it in .tar.zst or .tar.gz
    """
    codec = CODECS.get(path.suffix)
    if codec is None or Path(path.stem).suffix != ".tar":
        raise InputError(f"{path.name} is no name of a backup; end it in .tar.zst or .tar.gz")
    return codec


class Writer:
    """Writes a backup, a file after the other."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: dict[str, Member] = {}

    def add(self, name: str, file: Path) -> None:
        """Add a file as long as it is now: what is appended meanwhile is left out.

        Raises
        ------
        OSError
            It is gone, or shorter than it was.
        """
        with file.open("rb") as source:
            info = tarfile.TarInfo(_FOLDER + name)
            found = file.stat()
            info.size, info.mode, info.mtime = found.st_size, found.st_mode & 0o777, found.st_mtime
            hashing = _Hashing(source)
            self._tar.addfile(info, cast("IO[bytes]", hashing))
        self.members[name] = Member(info.size, hashing.digest.hexdigest())

    def note(self, name: str, value: object) -> None:
        """Add a note of JSON."""
        content = (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))


@contextmanager
def writing(path: Path, codec: str, about: dict[str, Any]) -> Iterator[Writer]:
    """Write a backup whose last member, the manifest, is there only if the block succeeds."""
    with (
        pa.OSFile(str(path), "wb") as raw,
        pa.CompressedOutputStream(raw, codec) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        writer = Writer(tar)
        writer.note(_HEAD, {"format": FORMAT, **about})
        yield writer
        files = {name: [m.bytes, m.sha256] for name, m in writer.members.items()}
        writer.note(_MANIFEST, {"files": files})


def read(
    path: Path, check: Callable[[dict[str, Any]], None], into: Path | None
) -> tuple[dict[str, Any], dict[str, Member]]:
    """Read a backup to its end, and check every file in it.

    Parameters
    ----------
    check
        Told what the backup says of itself before anything is written.
    into
        A folder for the files; None: they are only checked.

    Returns
    -------
    about, members
        What it says of itself, and its files by name.

    Raises
    ------
    InputError
        The file is no backup, was cut off or altered, or holds what no backup does.
    """
    codec = codec_of(path)
    if not path.is_file():
        raise InputError(f"backup {path} does not exist; name one that `lifecycle backup` wrote")
    try:
        with (
            pa.input_stream(str(path), compression=codec) as stream,
            tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as tar,
        ):
            return _read(tar, check, into)
    except (tarfile.TarError, pa.ArrowException, EOFError, ValueError, KeyError) as error:
        raise _damaged(path, f"it cannot be read to its end ({error})") from None
    except _UnsoundError as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        # Of the stream, which names no file; a full disk does.
        if error.filename is not None or error.errno is not None:
            raise
        raise _damaged(path, f"it cannot be read to its end ({error})") from None


class _UnsoundError(Exception):
    """Why a stream is no whole backup."""


def _read(
    tar: tarfile.TarFile, check: Callable[[dict[str, Any]], None], into: Path | None
) -> tuple[dict[str, Any], dict[str, Member]]:
    members: dict[str, Member] = {}
    about = _json(tar, tar.next(), _HEAD)
    if about.get("format") != FORMAT:
        raise _UnsoundError(f"its format is {about.get('format')}, this version reads {FORMAT}")
    check(about)
    while (info := tar.next()) is not None and info.name != _MANIFEST:
        name = _plain_name(info)
        if name in members:
            raise _UnsoundError(f"it holds {name} twice")
        members[name] = _take(tar, info, None if into is None else into / name)
    listed = {n: Member(*of) for n, of in _json(tar, info, _MANIFEST)["files"].items()}
    for name in sorted(listed.keys() | members.keys()):
        if listed.get(name) != members.get(name):
            raise _UnsoundError(f"{name} is not the file that was backed up")
    return about, members


def _json(tar: tarfile.TarFile, info: tarfile.TarInfo | None, name: str) -> dict[str, Any]:
    if info is None or info.name != name or not info.isreg() or info.size > _LONGEST_NOTE:
        raise _UnsoundError(f"it has no {name} in its place")
    source = tar.extractfile(info)
    found = json.loads(source.read()) if source is not None else None
    if not isinstance(found, dict):
        raise _UnsoundError(f"its {name} is none")
    return found


def _plain_name(info: tarfile.TarInfo) -> str:
    """Refuse what could be written anywhere but into the folder, as what it seems."""
    name = info.name.removeprefix(_FOLDER)
    parts = PurePosixPath(name).parts
    plain = parts and not any(part.startswith(".") or "\\" in part for part in parts)
    if not info.isreg() or not info.name.startswith(_FOLDER) or not plain or parts[0] == "/":
        raise _UnsoundError(f"it holds {info.name!r}, which is no file of a workspace")
    return "/".join(parts)


def _take(tar: tarfile.TarFile, info: tarfile.TarInfo, place: Path | None) -> Member:
    source = tar.extractfile(info)
    if source is None:
        raise _UnsoundError(f"it holds {info.name!r}, which is no file of a workspace")
    hashing = _Hashing(source)
    size = 0
    if place is None:
        while chunk := hashing.read(_CHUNK):
            size += len(chunk)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as target:
            while chunk := hashing.read(_CHUNK):
                size += target.write(chunk)
        place.chmod(info.mode & 0o777 | 0o600)
    return Member(size, hashing.digest.hexdigest())


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Read on."""
        chunk = self._source.read(size)
        self.digest.update(chunk)
        return chunk


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path.name} is no whole backup: {why}; take another. Nothing was changed")
