"""The Slurm profile and the page that explains it."""

import re

import yaml
from conftest import ROOT

PROFILES = ROOT / "pipeline/profiles"
SAME_EVERYWHERE = ("keep-going", "rerun-incomplete", "rerun-triggers", "show-failed-logs", "printshellcmds")
SITE = ("default-resources", "slurm-no-account", "slurm-status-command", "slurm-init-seconds-before-status-checks")


def profile(name: str) -> dict:
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text())


def page() -> str:
    return (ROOT / "docs/cluster.md").read_text()


def test_what_makes_reruns_true_is_the_same_everywhere():
    """A cluster plans and keeps going as one machine does."""
    here, there = profile("workstation"), profile("slurm")
    assert {key: there[key] for key in SAME_EVERYWHERE} == {key: here[key] for key in SAME_EVERYWHERE}
    assert there["rerun-triggers"] == ["mtime", "input"]


def test_every_key_is_explained():
    """The page's table has each key of the profile and no other; values that are one word stand beside them."""
    table = page().partition("## The profile")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    explained = [key for keys, _ in rows for key in re.findall(r"`([\w-]+)`", keys)]
    assert sorted(explained) == sorted(set(profile("slurm")) - {"printshellcmds"})
    for keys, value in rows:
        key = keys.strip("`")
        if isinstance(profile("slurm").get(key), int | str):
            assert value.strip("`") == str(profile("slurm")[key]).replace("True", "true"), key


def test_a_site_can_say_its_own():
    """The project's profile wins over a site's, so it must leave to the site what only the site knows."""
    example = yaml.safe_load(re.search(r"`site.yaml`:\n\n```yaml\n(.*?)```", page(), re.DOTALL)[1])
    assert set(example) == set(SITE)
    assert not set(example) & set(profile("slurm"))
