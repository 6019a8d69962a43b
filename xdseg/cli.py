"""The `xdseg` command: what the workflow's rules call, and what people can call by hand.

Exit codes: 0 done, 1 the work failed, 2 bad input (one line per finding, each with its mend), 143 ended by SIGTERM with
its state saved.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from xdseg import __version__, cli_boards, cli_data, cli_status
from xdseg.cli_parts import command, context_of, params_of
from xdseg.errors import BadInput, Terminated, TrainingFailed
from xdseg.faults import hear_no_more_of_children, machine_fault
from xdseg.params import CONFIG_VARIABLE
from xdseg.text import harmless

FAILED, BAD_INPUT, TERMINATED = 1, 2, 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if os.environ.get("XDSEG_DIE_WITH_PARENT"):
            from xdseg.process import die_with_parent

            die_with_parent()
        options.command(options)
    except BadInput as error:
        print(_explained(error), file=sys.stderr)
        return BAD_INPUT
    except TrainingFailed as error:
        print(f"xdseg: {harmless(str(error))}", file=sys.stderr)
        return FAILED
    except Terminated as error:
        print(error, flush=True)
        return TERMINATED
    except BrokenPipeError:
        return FAILED
    except Exception as error:
        hear_no_more_of_children()
        if (line := machine_fault(error)) is None:
            raise
        print(f"xdseg: {harmless(line)}", file=sys.stderr)
        return FAILED
    return 0


def _explained(error: BadInput) -> str:
    text = "\n".join(f"xdseg: {harmless(line)}" for line in str(error).rstrip("\n").split("\n"))
    if path := os.environ.get(CONFIG_VARIABLE):  # so that a failed command can be pasted into a shell
        text += f"\nxdseg: settings in force: {CONFIG_VARIABLE}={path}"
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xdseg", description="Cross-domain semantic segmentation, measured.")
    parser.add_argument("--version", action="version", version=f"xdseg {__version__}")
    parser.add_argument(
        "--configfile",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="overlay of params.yaml; repeatable",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        *cli_data.COMMANDS,
        _add_params,
        _add_render,
        _add_pretrain,
        _add_probe,
        _add_predict,
        _add_score,
        *cli_boards.COMMANDS,
        *cli_status.COMMANDS,
        _add_track,
        _add_files,
    ):
        add(commands)
    return parser


def _add_params(commands) -> None:
    command(commands, "params", _show_params, "print the resolved settings and the grid")


def _show_params(options: argparse.Namespace) -> None:
    from xdseg.stages.show import show

    show(context_of(options))


def _add_render(commands) -> None:
    parser = command(commands, "render", _render, "write a generated suite as a folder suite, to look at")
    parser.add_argument("suite")
    parser.add_argument("folder", type=Path)


def _render(options: argparse.Namespace) -> None:
    from xdseg.stages.render import render_suite

    render_suite(options.suite, params_of(options), options.folder)


def _add_pretrain(commands) -> None:
    parser = command(commands, "pretrain", _pretrain, "pre-train an encoder on generated images, without labels")
    parser.add_argument("target", help="name from backbones: in params.yaml, or the record that the workflow names")


def _pretrain(options: argparse.Namespace) -> None:
    from xdseg.stages.pretrain import pretrain

    pretrain(options.target, params_of(options))


def _add_probe(commands) -> None:
    parser = command(commands, "probe", _probe, "compare pre-trained encoders with random ones by a linear classifier")
    parser.add_argument("names", nargs="*", help="names from backbones: in params.yaml; default all")


def _probe(options: argparse.Namespace) -> None:
    from xdseg.stages.probe import probe

    probe(options.names, params_of(options))


def _add_predict(commands) -> None:
    parser = command(commands, "predict", _predict, "segment any images with a trained run, or a run's targets")
    parser.add_argument(
        "run", type=Path, help="folder with run.json and weights; or, alone, the receipt that the workflow names"
    )
    parser.add_argument("images", type=Path, nargs="?", help="folder of images, or an image")
    parser.add_argument("--out", type=Path, help="new folder for the results; default segmented/FOLDER-FINGERPRINT")
    parser.add_argument("--size", help="native, HxW, or the length of the short side; default as the run was evaluated")
    parser.add_argument(
        "--mode", choices=("whole", "slide", "cover"), help="whole images, or windows; default likewise"
    )
    parser.add_argument("--window", type=int, help="side of the windows, in pixels of the resized image")
    parser.add_argument("--stride", type=int, help="step of the windows")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default auto: cuda where there is one")


def _predict(options: argparse.Namespace) -> None:
    asked = {name: getattr(options, name) for name in ("size", "mode", "window", "stride")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if options.images is None:
        if asked or options.out or options.device or options.run.is_dir():
            raise BadInput(f"predict: {options.run}: say which images; xdseg predict RUN FOLDER")
        from xdseg.stages.predict import predict

        predict(options.run, context_of(options))
        return
    from xdseg.stages.segment import segment

    if "size" in asked:
        asked["size"] = _size(asked["size"])
    segment(
        options.run,
        options.images,
        out=options.out,
        device=options.device or "auto",
        asked=asked,
        plugins=lambda: params_of(options),
    )


def _size(text: str) -> str | int | tuple[int, ...]:
    """A size as settings take it; what is none of the three forms is left for them to refuse."""
    sides = text.lower().split("x")
    if not all(side.isascii() and side.isdigit() for side in sides):
        return text
    return int(text) if len(sides) == 1 else tuple(map(int, sides))


def _add_score(commands) -> None:
    parser = command(commands, "score", _score, "score stored predictions; reads files only")
    parser.add_argument("output", type=Path, nargs="?", help="score of a cell, as the workflow names it")
    parser.add_argument("--predictions", type=Path, help="folder or zip of class-id PNGs from any other code")
    parser.add_argument("--method", help="name of the row that the predictions become")
    parser.add_argument("--pair", help="source->target")
    parser.add_argument("--setting", choices=("source", "uda", "finetune", "oracle"), default="source")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ids", metavar="DATASET", help="the predictions hold that data set's raw ids, not classes")


def _score(options: argparse.Namespace) -> None:
    from xdseg.stages import score

    entering = (options.predictions, options.method, options.pair)
    if options.output and not any(entering):
        score.score(options.output, context_of(options))
    elif all(entering) and not options.output:
        score.enter(
            options.predictions,
            context_of(options),
            method=options.method,
            pair=options.pair,
            setting=options.setting,
            seed=options.seed,
            ids=options.ids,
        )
    else:
        raise BadInput("score: give the score's path, or --predictions, --method and --pair together")


def _add_track(commands) -> None:
    parser = command(commands, "track", _track, "show records, trainings and boards in MLflow")
    parser.add_argument("--all", action="store_true", help="every suite's records, not the grid's alone")
    parser.add_argument("--follow", action="store_true", help="go on, with the curves of runs while they train")
    parser.add_argument("--every", type=float, default=5, metavar="SECONDS", help="between two looks (default: 5)")
    parser.add_argument("--until-idle", type=float, metavar="SECONDS", help="stop after so long without news")
    parser.add_argument("--pages", metavar="URL", help="where MLflow's pages are served; prints each suite's")


def _track(options: argparse.Namespace) -> None:
    from xdseg.tracking.track import track

    if options.every <= 0:
        raise BadInput(f"--every {options.every:g}: seconds between two looks, more than 0")
    if options.until_idle is not None and not options.follow:
        raise BadInput("--until-idle: only --follow waits for anything; add it")
    track(
        params_of(options),
        everything=options.all,
        following=options.follow,
        every=options.every,
        until_idle=options.until_idle,
        pages=options.pages,
    )


def _add_files(commands) -> None:
    """The commands of rules: what to make is named by the path, and nothing else is told."""
    texts = {
        "cache": "decode or draw one split's images or labels",
        "train": "train one run",
        "record": "write the record of a cell",
        "board": "build tables and figures from records",
        "publish": "copy a board to reports/ and new records to records/",
    }
    for name, text in texts.items():
        parser = command(commands, name, _make, text)
        parser.set_defaults(name=name)
        parser.add_argument("output", type=Path)
        if name == "board":
            parser.add_argument("--partial", action="store_true", help="show cells without a record as missing")


def _make(options: argparse.Namespace) -> None:
    if options.name in ("board", "publish"):
        from xdseg.stages import board

        folder = options.output.parent if options.output.suffix else options.output
        if options.name == "board":
            board.board(folder, params_of(options), partial=options.partial)
        else:
            board.publish(folder, params_of(options))
        return
    from importlib import import_module

    stage = import_module(f"xdseg.stages.{options.name}")
    getattr(stage, options.name)(options.output, context_of(options))


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
