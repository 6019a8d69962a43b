"""`xdseg datasets`: the public data sets that XDSeg reads; `xdseg datasets check NAME --root DIR`: is yours whole?"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from xdseg.data.ledger import Ledger
from xdseg.data.prepare_public import PublicCheck, check_split
from xdseg.data.public import PublicLayout, public_layout
from xdseg.datasets.contract import Dataset, Split
from xdseg.datasets.registry import NAMES, dataset
from xdseg.errors import BadInput, NotThere, suggest
from xdseg.settings.suites import PublicDomain, PublicSuite

SHAPES = 3  # sizes of images that a line names


def show_datasets(name: str | None = None) -> None:
    """Print what to download, where it goes, its licence and its size, of one data set or of all."""
    for known in [name] if name else NAMES:
        print("\n".join(_described(dataset(known))), end="\n\n")


def _described(source: Dataset) -> Iterator[str]:
    yield f"{source.name}: {source.title}"
    yield f"  download  {source.download.what}"
    yield f"  from      {source.download.where}"
    yield f"  licence   {source.download.licence}"
    yield f"  images    {', '.join(_count(name, split) for name, split in source.splits.items())}"
    if source.shapes:
        yield f"  size      {', '.join(f'{width} x {height}' for height, width in sorted(source.shapes))} pixels"
    yield f"  files     below {source.name}/, or a root of your own:"
    yield from (f"            {line}" for line in source.layout.splitlines())
    if source.parts:
        yield f"  parts     {', '.join(source.parts)}"
    if len(source.maps) > 1:
        yield f"  maps      {', '.join(source.maps)} (default {source.default_map})"
    for subject, remark in source.confirmed.items():
        yield f"  note      {subject}: {remark}"


def _count(name: str, split: Split) -> str:
    count = sum(split.count.values()) if isinstance(split.count, Mapping) else split.count
    remarks = [word for word, true in (("unlabelled", not split.labelled), ("by a list", split.listed)) if true]
    return f"{name} {count if count is not None else '?'}" + (f" ({', '.join(remarks)})" if remarks else "")


def check_dataset(name: str, root: Path, *, part: str | None = None) -> None:
    """Look at every file of a data set and list each deviation. Raises BadInput if there is any."""
    source = dataset(name)
    if part is not None and part not in source.parts:
        raise BadInput(f"datasets: --part: {source.title} has no {part!r}; {suggest(part, source.parts)}")
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder; --root names what {source.title} was extracted to")
    entry = PublicDomain(dataset=name, root=str(root.resolve()), part=part)
    layout = public_layout("check", PublicSuite(kind="public", classes=source.space, domains={name: entry}))
    ledger, deviations, seen = Ledger(f"check-{name}"), [], 0
    for split in layout.splits(name):
        if missing := _not_there(layout, name, split):
            print(f"{name} {split}: not checked, {missing}")
            continue
        check = check_split(layout, name, split, ledger=ledger, most=None)
        deviations += [*check.faults, *_odd_shapes(source, check)]
        seen += check.found
        print("\n".join(_summary(layout, name, check)))
    if not seen and not deviations:
        raise BadInput(f"{root}: no split of {source.title} is there; it should hold\n{source.layout}")
    if deviations := list(dict.fromkeys(deviations)):
        count = f"{len(deviations)} deviation{'s' * (len(deviations) > 1)}"
        raise BadInput("\n".join([*deviations, f"{root}: {count} from {source.title} as published"]))
    print(f"{root}: as published")


def _not_there(layout: PublicLayout, name: str, split: str) -> str | None:
    """Why a split cannot be looked at: nobody must have all splits or lists of a data set."""
    try:
        return None if layout.items(name, split) else "no image of it is there"
    except NotThere as error:
        return None if _in_part(layout, name, split) else str(error).partition(";")[0]
    except BadInput:
        return None  # which the look will say


def _in_part(layout: PublicLayout, name: str, split: str) -> bool:
    """Are some parts of a split there, of those that it is the sum of? Then what is missing is a deviation."""
    source = layout.dataset(name)
    summed = isinstance(layout.splits(name)[split].count, Mapping) and not layout.entry(name).part
    return summed and any(_holds(source, layout.root(name), split, part) for part in source.parts)


def _holds(source: Dataset, root: Path, split: str, part: str) -> bool:
    try:
        return any(True for _ in source.files(root, split, part))
    except NotThere:
        return False
    except BadInput:
        return True  # which the look will say


def _summary(layout: PublicLayout, name: str, check: PublicCheck) -> Iterator[str]:
    images = dict.fromkeys(image for image, _ in check.pairs)  # windows of one image share it
    shapes = Counter(check.looks[image].shape for image in images if not check.looks[image].fault)
    common = ", ".join(f"{width} x {height} ({times})" for (height, width), times in shapes.most_common(SHAPES))
    more = f" and {len(shapes) - SHAPES} other sizes" if len(shapes) > SHAPES else ""
    labels = sum(1 for _, label in check.pairs if label)
    expected = layout.expected(name, check.split)
    of = f" of {expected}" if expected is not None else ""
    yield f"{name} {check.split}: {check.found}{of} images, {labels} labels{'; ' * bool(shapes)}{common}{more}"


def _odd_shapes(source: Dataset, check: PublicCheck) -> Iterator[str]:
    for item, (image, _) in zip(check.items, check.pairs, strict=True):
        found = check.looks[image]
        shape = tuple(item.window[2:]) if item.window else found.shape
        if source.shapes and not found.fault and shape not in source.shapes:
            sizes = " or ".join(f"{width}x{height}" for height, width in sorted(source.shapes))
            yield f"{item.image}: {shape[1]}x{shape[0]}, {source.title} has {sizes}"
