"""A suite of public data sets: which items each domain's splits hold, and how their files are read."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from xdseg.data.inspection import IMAGE, LABEL, Errand
from xdseg.data.pixels import listed
from xdseg.datasets.contract import Dataset, Item, PublishedList, Split
from xdseg.datasets.registry import dataset
from xdseg.datasets.spaces import SPACES, space
from xdseg.errors import BadInput, NotThere, suggest
from xdseg.params import NAME, data_root
from xdseg.settings.suites import PublicDomain, PublicSuite
from xdseg.versions import VERSIONS


@dataclass(frozen=True)
class PublicLayout:
    """The suite as params.yaml declares it; says nothing yet about the files."""

    name: str
    settings: PublicSuite

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of their ids."""
        return space(self.settings.classes)

    def entry(self, domain: str) -> PublicDomain:
        """What params.yaml says of a domain."""
        return self.settings.domains[domain]

    def dataset(self, domain: str) -> Dataset:
        """The data set behind a domain."""
        return dataset(self.entry(domain).dataset)

    def root(self, domain: str) -> Path:
        """Folder that the data set was extracted to."""
        entry = self.entry(domain)
        return data_root() / Path(entry.root or entry.dataset).expanduser()

    def splits(self, domain: str) -> dict[str, Split]:
        """The data set's splits, and those that the user's own lists make of its labelled ones."""
        declared = dict(self.dataset(domain).splits)
        whole = tuple(name for name, split in declared.items() if split.labelled and not split.listed)
        own = {name: Split(None, within=whole) for name in self.entry(domain).lists if name not in declared}
        return declared | own

    def expected(self, domain: str, split: str) -> int | None:
        """Number of images that the split should have; None where nobody says."""
        entry, count = self.entry(domain), self.splits(domain)[split].count
        if isinstance(count, Mapping):
            count = count[entry.part] if entry.part else sum(count.values())
        return entry.counts.get(split, count)

    def items(self, domain: str, split: str) -> list[Item]:
        """The split's images, in order; raises BadInput if its folder or list is missing or not the published one."""
        declared, part, root = self.splits(domain)[split], self.entry(domain).part, self.root(domain)
        if not root.is_dir():
            where = f"extract {self.dataset(domain).title} there, or set suites.{self.name}.domains.{domain}.root"
            raise NotThere(f"{root}: no such folder; {where} or XDSEG_DATA")
        files = self.dataset(domain).files
        if not declared.within:
            return list(files(root, split, part))
        known = {item.name: item for whole in declared.within for item in files(root, whole, part)}
        path, names = self._listed(domain, split, declared.listed)
        if foreign := [name for name in names if name not in known]:
            raise BadInput(f"{path}: lists {listed(foreign)}, not among the images below {root}; extract all of it")
        return [known[name] for name in names]

    def _listed(self, domain: str, split: str, published: PublishedList | None) -> tuple[Path, list[str]]:
        path = self.root(domain) / Path(self.entry(domain).lists.get(split, f"{split}.txt")).expanduser()
        key = f"suites.{self.name}.domains.{domain}"
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError):
            raise NotThere(f"{path}: missing or not UTF-8; it lists the images of {split}; set {key}.lists") from None
        if published and split not in self.entry(domain).counts:  # a count of the user's own is a list of their own
            digest = sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
            if (len(lines), digest) != (published.count, published.sha256):
                said = f"{len(lines)} lines, SHA-256 {digest[:8]}…; {published.count} and {published.sha256[:8]}…"
                raise BadInput(f"{path}: not the published {split} ({said} are {published.source}); name it otherwise")
        names = [Path(line).stem for line in lines]
        if twice := sorted(name for name, times in Counter(names).items() if times > 1):
            raise BadInput(f"{path}: lists {listed(twice)} more than once; keep one of each")
        return path, names

    def errands(self, domain: str, item: Item) -> tuple[Errand, Errand | None]:
        """How an item's files are looked at."""
        source = self.dataset(domain)
        reader = f"{source.name}@{source.version}/"
        image = Errand(item.image, reader + IMAGE)
        beside = source.beside(item.label) if item.label and source.beside else ()
        return image, Errand(item.label, reader + LABEL, beside) if item.label else None

    def digest_names(self, domain: str, items: list[Item]) -> list[str]:
        """Names as digests have them: with the window, and the version of the reading, since both decide pixels."""
        version = f"{VERSIONS['datasets']}.{self.dataset(domain).version}"
        return [f"{item.name}{item.window or ''}@{version}" for item in items]

    def label_map(self, domain: str) -> str:
        """Name of the reading of raw ids."""
        return self.entry(domain).label_map or self.dataset(domain).default_map

    def table(self, domain: str) -> np.ndarray:
        """(256,) uint8: raw id to class, 255 for ignored ones."""
        return self.dataset(domain).table(self.label_map(domain), self.classes)


@lru_cache(maxsize=16)
def _checked(name: str, settings_json: str) -> PublicLayout:
    layout = PublicLayout(name, PublicSuite.model_validate_json(settings_json))
    try:
        space(layout.settings.classes)
    except BadInput as error:
        raise BadInput(f"params: suites.{name}.classes: {error}") from None
    if not layout.settings.domains:
        raise BadInput(f"params: suites.{name}.domains: there is none; name at least one")
    for domain in layout.settings.domains:
        for fault in _faults(layout, domain):
            raise BadInput(f"params: suites.{name}.domains.{domain}{fault}")
    return layout


def public_layout(name: str, settings: PublicSuite) -> PublicLayout:
    """The layout of a suite whose settings are checked. Raises BadInput that names the key and the mend."""
    return _checked(name, settings.model_dump_json())


def _faults(layout: PublicLayout, domain: str) -> Iterator[str]:
    """What params.yaml says wrongly of a domain: the rest of a key, finding and mend."""
    entry = layout.entry(domain)
    if not NAME.fullmatch(domain):
        yield ": a domain is named by letters and digits, with single _ . - between"
    try:
        source = layout.dataset(domain)
    except BadInput as error:
        yield f".dataset: {error}"
        return
    if not set(layout.classes) <= set(SPACES[source.space]):
        yield f": {source.title} is labelled in {source.space}, the suite in {layout.settings.classes}; use two suites"
    if entry.part is not None and entry.part not in source.parts:
        yield f".part: {source.title} has no {entry.part!r}; {suggest(entry.part, source.parts)}"
    if entry.label_map is not None and entry.label_map not in source.maps:
        yield f".label_map: unknown {entry.label_map!r}; {suggest(entry.label_map, source.maps)}"
    for split in entry.lists:
        if not NAME.fullmatch(split):
            yield f".lists.{split}: a split is named by letters and digits, with single _ . - between"
        elif split in source.splits and not source.splits[split].listed:
            yield f".lists.{split}: {split} is all of a folder of {source.title}; name the split of a list otherwise"
    for split in set(entry.counts) - set(layout.splits(domain)):
        yield f".counts.{split}: {source.title} has no such split; {suggest(split, layout.splits(domain))}"
