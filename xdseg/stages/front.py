"""`xdseg front` builds reports/index.html, the page of all boards; publishing a board does so too."""

from pathlib import Path

from xdseg.files import write_text

REPORTS = Path("reports")


def front(reports: Path = REPORTS) -> bool:
    """Build index.html of the folder from its boards; an equal file keeps its time. Was it changed?

    Raises BadInput if a board in it cannot be read.
    """
    from xdseg.reporting.front import front_html, read_board

    target = reports / "index.html"
    text = front_html([read_board(path.parent) for path in sorted(reports.glob("*/leaderboard.json"))])
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return False
    write_text(target, text)
    return True
