"""The leaderboard as a page: the table, what its numbers mean, what is missing, what must be known."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.gains import Gain
from xdseg.reporting.gains_table import MEANING, gain_lines, gain_notes
from xdseg.reporting.image_gains import ImageGains, beyond_images
from xdseg.reporting.image_table import BEYOND, image_sets
from xdseg.reporting.image_table import HEADER as IMAGES_HEADER
from xdseg.reporting.image_table import MEANING as IMAGES_MEANING
from xdseg.reporting.leaderboard import Row, dice_names, dice_texts, last_class, millions, with_spread
from xdseg.reporting.origin import ENTERED, imported_notes
from xdseg.reporting.ranks import Ranks
from xdseg.reporting.ranks_table import MEANING as RANKS_MEANING
from xdseg.reporting.seeds import MEANING as SEEDS_MEANING
from xdseg.reporting.seeds import half
from xdseg.reporting.text import ARROW, escaped, escaped_note, percent
from xdseg.reporting.uninformative import map_warnings

FLAG = "†"  # beside rows that were entered from predictions
RULES = {
    "drop": "a class that source or target lacks leaves truth and mean",
    "field": "all classes count, and one in neither truth nor prediction leaves the mean",
}


def leaderboard_md(
    rows: Sequence[Row],
    cells: Sequence[TableCell],
    found: Mapping[str, Gain],
    standing: Ranks,
    *,
    suite: str,
    classes: tuple[str, ...],
    images: ImageGains,
) -> str:
    """A Markdown page of the board; it links to the pictures beside it.

    `found` are its gains, `images` those over images, `standing` its ranks.
    """
    parts = [
        f"# {escaped(suite)}",
        "\n".join(_table(rows, last_class(classes))),
        meaning(cells),
        *([SEEDS_MEANING] if with_spread(rows) else []),
        f"![mIoU of each method on each pair, {escaped(suite)}](heatmap.png)",
        *_gains(found, images),
        *_ranks(standing),
        *_images(cells, images),
        *_section("Missing", missing(rows, cells)),
        *_section("Notes", notes(rows, cells)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], last: str | None) -> Iterator[str]:
    spreads = with_spread(rows)
    shown = ["± over seeds"] if spreads else []
    shown += [f"IoU of {escaped(last)} (%)"] if last else []
    shown += map(escaped, dice_names(rows, average="mean Dice (%)", region="Dice of {} (%)"))
    header = ["method", "setting", "mIoU (%)", *shown, "pairs", "seeds", "parameters (M)"]
    yield _line(header)
    yield _line(["---", "---", *["---:"] * (len(header) - 2)])
    for row in rows:
        name = escaped(row.method) + (f" {FLAG}" if row.entered else "")
        numbers = [percent(row.miou), *([half(row.spread)] if spreads else [])]
        numbers += [*([percent(row.last_class)] if last else []), *dice_texts(row)]
        yield _line([name, escaped(row.setting), *numbers, row.scored, row.told_seeds, millions(row.parameters)])


def _gains(found: Mapping[str, Gain], images: ImageGains) -> Iterator[str]:
    """The table of gains, what it means, and why something in it is blank."""
    if not found:
        return
    beyond = beyond_images(images)
    yield f"## Gains\n\n{MEANING}{f' {BEYOND}' if beyond else ''}"
    yield "![Gain of each method over the row that it names, on every pair](gains.png)"
    header = ["method", "against", "gain", "95 % interval", "of", "p, Holm", "p, Wilcoxon (independent pairs)"]
    header += ["detectable", "better", "gap closed (%)"]
    header += ["beyond images"] if beyond else []
    ruled = ["---", "---", "---:", "---:", "---", *["---:"] * (len(header) - 5)]
    lines = [astuple(line)[: len(header)] for line in gain_lines(found, beyond=beyond)]
    yield "\n".join(map(_line, (header, ruled, *(map(escaped, line) for line in lines))))
    if blank := [f"- {escaped(methods)}: {escaped(reason)}" for methods, reason in gain_notes(found)]:
        yield "\n".join(blank)


def _ranks(standing: Ranks) -> Iterator[str]:
    """The figure of ranks, what it means, and which methods have none."""
    if not standing.standings:
        return
    yield f"## Ranks\n\n{RANKS_MEANING}"
    yield "![Mean ranks of the methods, and bars over those that are not separable](ranks.png)"
    if standing.left_out:
        yield "\n".join(f"- {escaped(name)}: {escaped(why)}" for name, (_, why) in standing.left_out.items())


def _images(cells: Sequence[TableCell], images: ImageGains) -> Iterator[str]:
    """The table of test sets and what it means."""
    if not (sets := image_sets(cells, images)):
        return
    yield f"## Test sets\n\n{IMAGES_MEANING}"
    ruled = ["---", "---:", "---", "---:", "---:", "---"]
    yield "\n".join(map(_line, (IMAGES_HEADER, ruled, *(map(escaped, astuple(line)) for line in sets))))


def _line(columns: Iterable[str]) -> str:
    return f"| {' | '.join(columns)} |"


def meaning(cells: Sequence[TableCell], *, text: Callable[[str], str] = escaped, code: str = "`{}`") -> str:
    """What a number of the board is, in a sentence; `text` and `code` write names as the page's format wants them."""
    protocol = _protocol(cells)
    scoring = protocol.get("scoring") or {}
    rule = _class_rule(scoring, text)
    return (
        f"A number is the mIoU in % on the target's {code.format(protocol.get('eval_split', 'test'))} split, from the "
        f"{protocol.get('checkpoint', 'last step')}'s checkpoint, averaged over seeds, then over pairs; {rule}; "
        "a row that lacks a pair has no mean."
    )


def _class_rule(scoring: dict[str, Any], text: Callable[[str], str]) -> str:
    rule = RULES.get(scoring.get("absent", "drop"), text(str(scoring.get("absent"))))
    if subset := scoring.get("subset"):
        named = f"the classes of subset {text(subset)}" if isinstance(subset, str) else ", ".join(map(text, subset))
        rule += f", and only {named} are scored"
    if scoring.get("outside") == "count":
        rule += "; a pixel of another class remains an error of the scored class that it is called"
    if size := scoring.get("truth"):
        rule += f"; pixels are counted on truth resampled to {text(_size(size))}"
    if regions := scoring.get("regions"):
        named = "; ".join(f"{text(name)}: {', '.join(map(text, classes))}" for name, classes in regions.items())
        rule += f"; Dice is pooled over the split, of regions ({named})"
    return rule


def _size(size: Any) -> str:
    if isinstance(size, dict):
        return f"height {size['height']}, of which the central square of {size['centre_crop']} pixels"
    return size if isinstance(size, str) else " × ".join(map(str, size))


def _protocol(cells: Sequence[TableCell]) -> dict[str, Any]:
    """What the board's runs share; of entered rows only if there are no others."""
    records = [cell.record for cell in cells if cell.record]
    records.sort(key=lambda record: record["origin"] == ENTERED)  # stable: runs first
    return records[0]["protocol"] if records else {}


def _section(title: str, lines: list[tuple[str, str]]) -> list[str]:
    texts = [f"- {escaped(subject)}{'' if subject == FLAG else ':'} {escaped_note(text)}" for subject, text in lines]
    return [f"## {title}", "\n".join(texts)] if texts else []


def missing(rows: Sequence[Row], cells: Sequence[TableCell]) -> list[tuple[str, str]]:
    """Every incomplete method with its pairs without a value, and why."""
    found = []
    for row in rows:
        own = [cell for cell in cells if cell.method == row.method]
        lacking = [pair for pair, value in row.by_pair.items() if value is None]
        if lacking:
            found.append((row.method, ", ".join(_lack(pair, own) for pair in lacking)))
    return found


def _lack(pair: tuple[str, str], cells: list[TableCell]) -> str:
    wanted = [cell for cell in cells if cell.pair == pair]
    reasons = [f"seed {cell.seed}" for cell in wanted if cell.record is None]
    reasons += [f"seed {cell.seed}: no pixel to score" for cell in wanted if cell.record and cell.miou is None]
    return f"{f' {ARROW} '.join(pair)} ({', '.join(reasons) or 'no such cell'})"


def notes(rows: Sequence[Row], cells: Sequence[TableCell]) -> list[tuple[str, str]]:
    """What the records tell a reader, each note once, after the methods it is about."""
    about: dict[str, list[str]] = {}
    for row in rows:
        own = [cell.record for cell in cells if cell.method == row.method and cell.record]
        for note in sorted({note for record in own for note in notes_of(record)}):
            about.setdefault(note, []).append(row.method)
    runs = {row.method for row in rows if not row.entered}
    found = [("all runs" if runs and runs == set(own) else ", ".join(own), note) for note, own in about.items()]
    found += imported_notes((cell.method, cell.record) for cell in cells)
    found += map_warnings(cells)
    if any(row.entered for row in rows):
        found.append((FLAG, "scored from prediction files of other code: how they were trained is their author's word"))
    return found


def notes_of(record: dict[str, Any]) -> list[str]:
    """What must be known of a record: its method's note, and its protocol's."""
    return [note for note in (record.get("note"), record["protocol"].get("note")) if note]
