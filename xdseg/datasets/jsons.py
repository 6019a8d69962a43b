"""JSON files of data sets' publishers."""

import json
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises BadInput if there is no file, no JSON or something else in it."""
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not readable as JSON ({error}); fetch it again") from None
    if not isinstance(contents, dict):
        raise BadInput(f"{path}: holds a {type(contents).__name__}, not an object; fetch it again")
    return contents
