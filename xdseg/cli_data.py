"""Commands about data: suites, public data sets, what papers report and which to cite, what test servers take."""

import argparse
from pathlib import Path

from xdseg.cli_parts import command, params_of
from xdseg.errors import BadInput


def _add_prepare(commands) -> None:
    parser = command(commands, "prepare", _prepare, "check every file of a suite and write its lock")
    parser.add_argument("suite")


def _prepare(options: argparse.Namespace) -> None:
    from xdseg.stages.prepare import prepare_suite

    prepare_suite(options.suite, params_of(options))


def _add_datasets(commands) -> None:
    text = "list the public data sets that can be read, or check one: xdseg datasets check NAME --root DIR"
    parser = command(commands, "datasets", _datasets, text)
    parser.add_argument("words", nargs="*", metavar="[check] [NAME]", help="a data set; default all")
    parser.add_argument("--root", type=Path, help="folder that the data set was extracted to")
    parser.add_argument("--part", help="one condition or region alone")


def _datasets(options: argparse.Namespace) -> None:
    from xdseg.stages import datasets

    checking = options.words[:1] == ["check"]
    names = options.words[checking:]
    if checking and len(names) == 1 and options.root:
        datasets.check_dataset(names[0], options.root, part=options.part)
    elif not checking and len(names) <= 1 and not (options.root or options.part):
        datasets.show_datasets(*names)
    else:
        raise BadInput("datasets: xdseg datasets [NAME], or xdseg datasets check NAME --root DIR")


def _add_published(commands) -> None:
    parser = command(commands, "published", _published, "what papers report, with the protocol behind each number")
    parser.add_argument("pair", nargs="?", help="'source->target' in quotes; either side may be left empty")
    parser.add_argument("->", dest="target", metavar="TARGET", nargs="?", const="", help=argparse.SUPPRESS)
    parser.add_argument("--setting", help="uda, dg, source-only or oracle")
    parser.add_argument("--unconfirmed", action="store_true", help="also what could not be confirmed")
    parser.add_argument("--csv", action="store_true", help="print CSV")


def _published(options: argparse.Namespace) -> None:
    from xdseg.stages.published import published

    pair = options.pair
    if options.target is not None:  # a pair without source looks like an option
        if pair:
            raise BadInput(f"published: {pair!r} and '->{options.target}' are two pairs; name one")
        pair = f"->{options.target}"
    published(pair, setting=options.setting, unconfirmed=options.unconfirmed, as_csv=options.csv)


def _add_cite(commands) -> None:
    parser = command(commands, "cite", _cite, "print BibTeX of the papers that a row rests on, and of XDSeg")
    parser.add_argument("method", help="a name from methods: in params.yaml")


def _cite(options: argparse.Namespace) -> None:
    from xdseg.stages.cite import cite

    cite(options.method, params_of(options))


def _add_export(commands) -> None:
    parser = command(commands, "export", _export, "pack predictions as a test server takes them")
    parser.add_argument("server", help="acdc, cityscapes, dark-zurich or loveda")
    parser.add_argument("predictions", type=Path, help="folder or zip of class-id PNGs, as xdseg predict writes them")
    parser.add_argument("out", type=Path, help="zip to write")
    parser.add_argument("--root", type=Path, help="the data set, to compare names with its test images")
    parser.add_argument("--invalid", type=Path, help="dark-zurich: predictions with invalid pixels marked, for UIoU")


def _export(options: argparse.Namespace) -> None:
    from xdseg.stages.export import export

    export(options.server, options.predictions, options.out, root=options.root, invalid=options.invalid)


COMMANDS = (_add_prepare, _add_datasets, _add_published, _add_cite, _add_export)
