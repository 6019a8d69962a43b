"""`xdseg render SUITE FOLDER`: a generated suite in the folder layout, to look at or to take elsewhere."""

import json
from pathlib import Path

from PIL import Image

from xdseg.data.cache import scene_name
from xdseg.data.streetworld.settings import CLASSES, DOMAINS, IGNORE_INDEX, SPLITS
from xdseg.errors import BadInput, suggest
from xdseg.files import write_text
from xdseg.params import Params
from xdseg.settings.suites import GeneratedSuite


def render_suite(name: str, params: Params, folder: Path) -> None:
    """Write images, labels, lists and suite.json. Raises BadInput if the folder holds anything."""
    from xdseg.data.streetworld.render import render

    if not isinstance(params.suites.get(name), GeneratedSuite):
        known = [key for key, suite in params.suites.items() if isinstance(suite, GeneratedSuite)]
        raise BadInput(f"render: {name!r} is no generated suite; {suggest(name, known)}")
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder}: not empty; name a new folder")
    settings = params.suites[name].generator
    splits = {split: getattr(settings, split) for split in SPLITS}
    for domain in DOMAINS:
        for split, count in splits.items():
            names = [scene_name(split, position) for position in range(count)]
            for position, scene in enumerate(names):
                image, label = render(settings, domain=domain, split=split, index=position)
                for what, pixels in (("images", image), ("labels", label)):
                    path = folder / domain / what / f"{scene}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path)
            write_text(folder / domain / f"{split}.txt", "\n".join(names) + "\n")
        print(f"{folder / domain}: {sum(splits.values())} scenes", flush=True)
    suite = {"suite": name, "classes": CLASSES, "ignore_index": IGNORE_INDEX}
    suite |= {"domains": {domain: splits for domain in DOMAINS}, "redistribute": True}
    write_text(folder / "suite.json", json.dumps(suite, indent=1) + "\n")
