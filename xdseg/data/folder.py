"""The folder layout: suite.json, `<domain>/{images,labels}/NAME.*`, `<domain>/<split>.txt`; read in place."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xdseg.errors import BadInput
from xdseg.params import NAME, data_root
from xdseg.settings.suites import FolderSuite

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".ppm", ".webp")
LABEL_ENDINGS = (".png", ".tif", ".tiff", ".bmp", ".gif")
MOST_CLASSES = 255  # ids are 8-bit and one value is left for ignore


class DomainEntry(BaseModel):
    """One domain in suite.json; every further key is a split and its number of images."""

    model_config = ConfigDict(extra="allow")
    classes: list[str] | None = Field(None, description="classes that its labels know; default all")
    groups: str | None = Field(None, description="pattern whose first group names an image's recording")
    unlabelled: list[str] = Field([], description="splits without labels")

    @property
    def splits(self) -> dict[str, int]:
        """Number of images that suite.json promises per split."""
        return self.model_extra or {}


class SuiteFile(BaseModel):
    """suite.json."""

    model_config = ConfigDict(extra="forbid")
    suite: str
    classes: list[str]
    ignore_index: int = Field(255, ge=0, le=255)
    domains: dict[str, DomainEntry]
    redistribute: bool = False


@dataclass(frozen=True)
class FolderLayout:
    """A folder suite as its suite.json and params.yaml declare it; says nothing yet about the files."""

    name: str
    root: Path
    contents: SuiteFile
    settings: FolderSuite

    def names(self, domain: str, split: str) -> list[str]:
        """Names in a split's list, in its order, without ending. Raises BadInput if the list is missing."""
        path = self.root / domain / f"{split}.txt"
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{path}: missing or not UTF-8; list the split's images there, one name a line") from error
        return [line.strip() for line in lines if line.strip()]

    def present(self, domain: str) -> list[str]:
        """Classes that suite.json says the domain's labels know; params.yaml may say otherwise without preparing."""
        return list(self.contents.domains[domain].classes or self.contents.classes)

    def group_pattern(self, domain: str) -> str | None:
        """Pattern whose first group names the recording that an image belongs to, or None."""
        return self.settings.groups.get(domain) or self.contents.domains[domain].groups

    def index(self, domain: str, what: str) -> dict[str, list[Path]]:
        """Files of `images` or `labels` of a domain by name without ending."""
        endings = IMAGE_ENDINGS if what == "images" else LABEL_ENDINGS
        found: dict[str, list[Path]] = {}
        folder = self.root / domain / what
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in endings:
                found.setdefault(path.stem, []).append(path)
        return found


def read_layout(name: str, settings: FolderSuite) -> FolderLayout:
    """Read and check suite.json. Raises BadInput that names the file, the key and the mend."""
    root = data_root() / Path(settings.root).expanduser()
    path = root / "suite.json"
    try:
        contents = SuiteFile.model_validate(json.loads(path.read_text()))
    except FileNotFoundError:
        raise BadInput(
            f"{path}: no such file; set suites.{name}.root, or XDSEG_DATA to the folder it lies in"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{path}: not readable as JSON: {error}") from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
        raise BadInput(f"{path}: {'; '.join(faults)}") from None
    layout = FolderLayout(name, root, contents, settings)
    if faults := list(_declaration_faults(layout)):
        raise BadInput("\n".join(f"{path}: {fault}" for fault in faults))
    return layout


def _declaration_faults(layout: FolderLayout):
    contents, name = layout.contents, layout.name
    if contents.suite != name:
        yield f"this is suite {contents.suite!r}, params.yaml calls it {name!r}; use one name"
    if not 2 <= len(contents.classes) <= MOST_CLASSES or len(set(contents.classes)) < len(contents.classes):
        yield f"classes: name 2 to {MOST_CLASSES}, each once"
    if contents.ignore_index < len(contents.classes):
        yield f"ignore_index {contents.ignore_index} is also a class; use 255"
    for domain, entry in contents.domains.items():
        yield from _domain_faults(domain, entry, contents.classes)
        yield from _group_faults(f"domains.{domain}.groups", entry.groups)
    for key in ("present", "groups"):
        for domain in getattr(layout.settings, key):
            if domain not in contents.domains:
                yield f"params: suites.{name}.{key}.{domain}: no such domain"
    for domain, pattern in layout.settings.groups.items():
        yield from _group_faults(f"params: suites.{name}.groups.{domain}", pattern)
    for domain, classes in layout.settings.present.items():
        for unknown in set(classes) - set(contents.classes):
            yield f"params: suites.{name}.present.{domain}: {unknown!r} is no class of the suite"


def _domain_faults(domain: str, entry: DomainEntry, classes: list[str]):
    where = f"domains.{domain}"
    if not NAME.fullmatch(domain):
        yield f"{where}: a domain is named by letters and digits, with single _ . - between"
    if not entry.splits:
        yield f'{where}: no split; say how many images each has, as in "train": 20'
    for split in entry.splits:
        if not NAME.fullmatch(split):
            yield f"{where}.{split}: a split is named by letters and digits, with single _ . - between"
    for split, count in entry.splits.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            yield f"{where}.{split}: expected a number of images, got {count!r}"
    for unknown in set(entry.unlabelled) - set(entry.splits):
        yield f"{where}.unlabelled: no split {unknown!r}"
    for unknown in set(entry.classes or ()) - set(classes):
        yield f"{where}.classes: {unknown!r} is no class of the suite"


def _group_faults(where: str, pattern: str | None):
    if pattern is None:
        return
    try:
        if re.compile(pattern).groups < 1:
            yield f"{where}: the pattern needs a group in brackets"
    except re.error as error:
        yield f"{where}: no valid pattern: {error}"
