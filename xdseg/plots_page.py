"""The page around DVC's plots, for opening it without a network: `python -m xdseg.plots_page FILE`, or `make plots`.

DVC's own page loads Vega from a server whenever it is opened. Snakemake's package brings the same scripts for its
reports; here they stand in the page itself, and DVC fills in the plots (`dvc plots diff --html-template FILE`).
"""

import argparse
from pathlib import Path

from xdseg.files import write_text

SCRIPTS = ("vega/vega.js", "vega-lite/vega-lite.js", "vega-embed/vega-embed.js")  # as Snakemake names them
PLACEHOLDERS = ("{plot_divs}", "{scripts}", "{refresh_tag}")  # what DVC replaces, wherever it stands
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>XDSeg: plots</title>
<style>body { font-family: sans-serif; margin: 2em } img { max-width: 100% }</style>
SCRIPTS
</head>
<body>
{plot_divs}
</body>
</html>
"""


def page() -> str:
    """The template, with every script inside."""
    from snakemake.assets import Assets  # takes a second

    scripts = [Assets.get_content(name) for name in SCRIPTS]
    return PAGE.replace("SCRIPTS", "\n".join(f"<script>{_inside_a_page(text)}</script>" for text in scripts))


def _inside_a_page(script: str) -> str:
    """A script that neither ends its own element nor holds what DVC would replace."""
    script = script.replace("</script", r"<\/script")
    for name in PLACEHOLDERS:
        script = script.replace(name, name.replace("{", "{ "))
    return script


def main() -> None:
    """Write the template."""
    parser = argparse.ArgumentParser(prog="python -m xdseg.plots_page", description=main.__doc__)
    parser.add_argument("file", type=Path)
    write_text(parser.parse_args().file, page())


if __name__ == "__main__":
    main()
