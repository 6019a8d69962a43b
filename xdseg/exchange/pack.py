"""The zip that records travel in. It is opened with suspicion: nothing is unpacked before every name is known good."""

import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from xdseg.errors import BadInput
from xdseg.exchange.manifest import Manifest, read_manifest
from xdseg.files import temporary

MANIFEST = "manifest.json"
LARGEST = 1 << 28  # bytes of a file when unpacked
MOST = 1 << 32  # of all files together
READABLE = 0o644 << 16  # permissions of a member, where a zip keeps them
_NAME = r"[A-Za-z0-9]+(?:[_.-][A-Za-z0-9]+)*"
FILE = re.compile(
    rf"records/{_NAME}/(?:[a-z0-9+-]+/[A-Za-z0-9_.+-]+/s\d+-[0-9a-f]{{8}}\.(?:json|npz|png)"
    r"|_panels/[A-Za-z0-9][A-Za-z0-9_.-]*\.(?:jpg|png))"
)
UNREADABLE = (OSError, BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)


def write_pack(path: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write the manifest and the files under their names. Equal ones give equal bytes."""
    with temporary(path) as unfinished, ZipFile(unfinished, "w", ZIP_DEFLATED) as archive:
        _add(archive, MANIFEST, manifest.text().encode())
        for name in sorted(files):
            _add(archive, name, files[name].read_bytes())


def _add(archive: ZipFile, name: str, contents: bytes) -> None:
    member = ZipInfo(name)  # dated 1980-01-01
    member.external_attr = READABLE
    member.compress_type = ZIP_DEFLATED
    archive.writestr(member, contents)


def unpack(path: Path, folder: Path) -> Manifest:
    """Unpack below an empty folder. Raises BadInput with a line per reason why the pack cannot be trusted whole."""
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
            _refuse(path, [*_unsafe(members)])
            manifest = _manifest(path, archive)
            _refuse(path, [*_strangers(members, manifest)])
            _refuse(path, [*_unpacked(archive, manifest, folder)])
            return manifest
    except FileNotFoundError:
        raise BadInput(f"{path}: no such pack") from None
    except UNREADABLE as error:
        raise BadInput(f"{path}: not a readable pack ({error}); get it again") from None


def _refuse(path: Path, faults: list[str]) -> None:
    if faults:
        raise BadInput("\n".join(f"{path}: {fault}" for fault in faults))


def _unsafe(members: list[ZipInfo]) -> Iterator[str]:
    for member in members:
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
        parts = name.split("/")
        if kind not in (0, stat.S_IFREG) or name.endswith("/"):
            yield f"{name!r} is a link or a folder, no plain file; a pack of this command has none"
        elif "\\" in name or ":" in parts[0] or {"", ".", ".."} & {*parts}:
            yield f"{name!r} would be written outside the project; a pack of this command has none such"
        elif member.file_size > LARGEST:
            yield f"{name!r} would have {member.file_size:,} bytes, more than the {LARGEST:,} that a file may have"
    for name, count in Counter(member.filename for member in members).items():
        if count > 1:
            yield f"{name!r} is there {count} times; export it again"
    if (total := sum(member.file_size for member in members)) > MOST:
        yield f"its files would have {total:,} bytes, more than the {MOST:,} that a pack may have"


def _manifest(path: Path, archive: ZipFile) -> Manifest:
    try:
        return read_manifest(archive.read(MANIFEST))
    except KeyError:
        raise BadInput(f"{path}: no pack of records, it has no {MANIFEST}") from None
    except BadInput as error:
        raise BadInput(f"{path}: {MANIFEST}: {error}") from None


def _strangers(members: list[ZipInfo], manifest: Manifest) -> Iterator[str]:
    there = {member.filename for member in members} - {MANIFEST}
    for name in sorted(there - manifest.files.keys()):
        yield f"{name} is not in the manifest; export it again"
    for name in sorted(manifest.files.keys() - there):
        yield f"{name} is missing; get the pack again"
    for name in sorted(there & manifest.files.keys()):
        if not FILE.fullmatch(name):
            yield f"{name!r} is no record and nothing that a record leans on; export it again"


def _unpacked(archive: ZipFile, manifest: Manifest, folder: Path) -> Iterator[str]:
    for name, digest in sorted(manifest.files.items()):
        try:
            contents = archive.read(name)
        except UNREADABLE as error:
            yield f"{name} cannot be read ({error}); get the pack again"
            continue
        if sha256(contents).hexdigest() != digest:
            yield f"{name} is not the file that the manifest names; its hash differs"
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents)
