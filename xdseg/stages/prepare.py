"""`xdseg prepare SUITE`: check every file of a suite and write its lock."""

from xdseg.cells import Context
from xdseg.data.folder import read_layout
from xdseg.data.prepare import prepare
from xdseg.data.prepare_public import prepare_public
from xdseg.data.public import PublicLayout, public_layout
from xdseg.demands import needed_splits
from xdseg.errors import BadInput, suggest
from xdseg.grid import blocks
from xdseg.params import Params
from xdseg.settings.suites import FolderSuite, PublicSuite


def prepare_suite(name: str, params: Params) -> None:
    """Write a suite's lock and say where. Raises BadInput with a line per fault."""
    if name not in params.suites:
        raise BadInput(f"prepare: no suite {name!r} in params.yaml; {suggest(name, params.suites)}")
    settings = params.suites[name]
    if isinstance(settings, FolderSuite):
        path, changed = prepare(read_layout(name, settings))
    elif isinstance(settings, PublicSuite):
        layout = public_layout(name, settings)
        path, changed = prepare_public(layout, _wanted(layout, params))
    else:
        print(f"{name}: generated from its settings; nothing to prepare")
        return
    print(f"{path}: {'written' if changed else 'unchanged'}")


def _wanted(layout: PublicLayout, params: Params) -> dict[str, set[str]]:
    """What the grid needs, if it is on this suite and names its pairs; else what is there.

    A data set that the grid does not name may be absent, one that it names may not.
    """
    context = Context.of(_grid_on(layout.name, params))
    needed = needed_splits(context)
    if params.grid.suite == layout.name and all(block.pairs != "all" for _, block in blocks(context)):
        return _some(layout, {domain: splits for domain, splits in needed.items() if splits}, params)
    there = {domain for domain in needed if layout.root(domain).is_dir()}
    if not there:
        places = ", ".join(sorted({str(layout.root(domain)) for domain in needed}))
        raise BadInput(f"{layout.name}: none of its data sets is there ({places}); set XDSEG_DATA or their roots")
    for domain in sorted(needed):
        if domain not in there:
            print(f"{domain}: left out, {layout.root(domain)} does not exist")
        elif not needed[domain]:
            print(f"{domain}: left out, it has no split that {_splits_asked(params)}")
    return _some(layout, {domain: needed[domain] for domain in there if needed[domain]}, params)


def _some(layout: PublicLayout, wanted: dict[str, set[str]], params: Params) -> dict[str, set[str]]:
    """What is wanted, if that is anything: a lock of nothing would be no sign that all is well."""
    if not wanted:
        raise BadInput(f"{layout.name}: none of its data sets has a split that {_splits_asked(params)}")
    return wanted


def _grid_on(name: str, params: Params) -> Params:
    """The same settings with a grid over all of a suite, unless the grid is on it."""
    if params.grid.suite == name:
        return params
    return params.model_copy(
        update={"grid": params.grid.model_copy(update={"suite": name, "pairs": "all", "also": ()})}
    )


def _splits_asked(params: Params) -> str:
    name, protocol = params.grid.protocol, params.protocols[params.grid.protocol]
    splits = ", ".join(dict.fromkeys(protocol.split(use, None) for use in ("train", "adapt", "eval")))
    return f"protocols.{name} asks for ({splits}); name its splits there"
