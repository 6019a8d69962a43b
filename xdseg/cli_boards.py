"""Commands about finished boards: comparing them, handing their records on, and the page of them all."""

import argparse
from pathlib import Path

from xdseg.cli_parts import command, params_of


def _add_compare(commands) -> None:
    parser = command(commands, "compare", _compare, "what changed between two boards, by how much, and is it noise")
    parser.add_argument("a", metavar="A", help="board in reports/, preset.yaml, REV or REV:board")
    parser.add_argument("b", metavar="B", nargs="?", help="likewise; may be left out with --methods")
    parser.add_argument(
        "--methods", nargs=2, metavar=("OF_A", "OF_B"), help="compare one method of A with another of B"
    )
    parser.add_argument("--pairs", action="store_true", help="a line per method and pair")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _compare(options: argparse.Namespace) -> None:
    from xdseg.stages.compare import compare_boards

    compare_boards(options.a, options.b, methods=options.methods, by_pair=options.pairs, machine=options.json)


def _add_export_records(commands) -> None:
    text = "pack the committed records of boards, and what they lean on, for another project"
    parser = command(commands, "export-records", _export_records, text)
    parser.add_argument("boards", nargs="+", metavar="BOARD", help="board by name, or preset.yaml")
    parser.add_argument("out", type=Path, metavar="OUT.zip", help="pack to write")
    parser.add_argument("--origin", required=True, help="who hands them on; boards of the receiver show it")


def _export_records(options: argparse.Namespace) -> None:
    from xdseg.stages.export_records import export_records

    export_records(options.boards, options.out, origin=options.origin, overlays=options.configfile)


def _add_import_records(commands) -> None:
    text = "check a pack of records, and take them in, marked with their origin; all or none"
    parser = command(commands, "import-records", _import_records, text)
    parser.add_argument("pack", type=Path)


def _import_records(options: argparse.Namespace) -> None:
    from xdseg.stages.import_records import import_records

    import_records(options.pack, params_of(options))


def _add_front(commands) -> None:
    parser = command(commands, "front", _front, "build the page of all boards, index.html, from what lies beside them")
    parser.add_argument("folder", nargs="?", type=Path, help="with a folder per board; default reports/")


def _front(options: argparse.Namespace) -> None:
    from xdseg.stages.front import REPORTS, front

    folder = options.folder or REPORTS
    print(f"{folder / 'index.html'}: {'changed' if front(folder) else 'not changed'}")


COMMANDS = (_add_compare, _add_export_records, _add_import_records, _add_front)
