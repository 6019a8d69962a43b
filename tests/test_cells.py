"""The grid: which cells exist, what each fingerprint depends on, and what it does not."""

import copy
import json
from pathlib import Path

import pytest
from conftest import small_config

from xdseg.canonical import short
from xdseg.cells import Context, Pair, find_run, predictions_path
from xdseg.errors import BadInput
from xdseg.grid import expand
from xdseg.params import merge, parse
from xdseg.workflow import Plan

STREETWORLD = {
    "suites": {"streetworld": {"kind": "streetworld"}},
    "grid": {"suite": "streetworld", "pairs": ["clear->night", "clear+rain->snow"]},
}

# Worked out once and kept: whoever moves one of these makes every stored result of its kind stale, and must mean it.
GOLDEN = """\
source-only clear->night c5b771a5 5cefe62d 0f097d20
source-only clear+rain->snow bd6f1f89 f49f5e5c 9130a846
source-aug clear->night 295b893d 69c06089 43aa35d3
source-aug clear+rain->snow df288a07 6ffe6f2a 4a0b8b52
oracle clear->night bb9f7989 54217425 8a40c70c
oracle clear+rain->snow afceb2ee 593b96e3 716c001d"""


def context(**changes) -> Context:
    """Context of the toy grid with settings merged over."""
    return Context.of(parse(merge(small_config(), changes)))


def prints(**changes) -> list[tuple[str, str, str]]:
    """(train, predict, score) of every cell."""
    return [(cell.run.fingerprint, cell.predict, cell.score) for cell in expand(context(**changes)).cells]


def changed(before: list, after: list) -> list[set[str]]:
    """Which of the three fingerprints moved, cell by cell."""
    names = ("train", "predict", "score")
    return [{n for n, x, y in zip(names, a, b, strict=True) if x != y} for a, b in zip(before, after, strict=True)]


def test_golden_fingerprints():
    """Train, predict and score of three methods on two streetworld pairs: 18 fingerprints."""
    cells = expand(Context.of(parse(merge(small_config(), STREETWORLD)))).cells
    lines = [
        f"{cell.method} {cell.pair} {short(cell.run.fingerprint)} {short(cell.predict)} {short(cell.score)}"
        for cell in cells
    ]
    assert "\n".join(lines) == GOLDEN


@pytest.mark.parametrize("text", ["a", "a->", "->b", "a+a->b", "a->b->c", "a--b->c", "a->b c"])
def test_malformed_pair_is_refused(text):
    """One arrow, each source once, names that can stand in paths."""
    with pytest.raises(BadInput, match="is no pair; write source->target"):
        Pair.parse(text)


def test_sources_are_sorted():
    """Two sources are one source, whatever their order."""
    assert Pair.parse("b+a -> c") == Pair.parse("a+b->c") == Pair(("a", "b"), "c")


def test_all_pairs_of_two_domains(project):
    """`all` is every ordered pair; two domains make two, three methods six cells from four runs."""
    expansion = expand(context())
    assert [str(cell.pair) for cell in expansion.cells[:2]] == ["a->b", "b->a"]
    assert len(expansion.cells) == 6 and len(expansion.runs) == 4


def test_oracle_is_the_source_only_run_at_home(project):
    """The oracle of a->b is evaluated from the folder of source-only(b), with the same train fingerprint."""
    cells = {(cell.method, str(cell.pair)): cell for cell in expand(context()).cells}
    assert cells["oracle", "a->b"].run.key == cells["source-only", "b->a"].run.key
    assert "/source-only/b/" in str(cells["oracle", "a->b"].folder)


def test_oracle_with_its_own_training_is_a_run_of_its_own(project):
    """An oracle whose settings differ from its floor's does not borrow the floor's run."""
    cells = expand(context(methods={"oracle": {"training": {"steps": 7}}})).cells
    assert {cell.run.method for cell in cells if cell.method == "oracle"} == {"oracle"}


def test_training_settings_move_everything(project):
    """Another number of steps is another run, hence other predictions and scores."""
    moved = changed(prints(), prints(protocols={"tiny": {"training": {"steps": 7}}}))
    assert moved == [{"train", "predict", "score"}] * 6


def test_inference_settings_retrain_nothing(project):
    """Another test size moves predictions and scores only."""
    moved = changed(prints(), prints(protocols={"tiny": {"inference": {"size": 48}}}))
    assert moved == [{"predict", "score"}] * 6


def test_scoring_settings_predict_nothing(project):
    """Another way to count moves scores only."""
    assert changed(prints(), prints(protocols={"tiny": {"scoring": {"absent": "field"}}})) == [{"score"}] * 6


def test_how_things_run_moves_nothing(project):
    """Workers, cache, notes, board and the order of keys are in no fingerprint."""
    changes = {"runtime": {"workers": 3, "cache_gb": 0}, "grid": {"board": "other"}, "records": "ignore"}
    changes["protocols"] = {"tiny": {"note": "x", "training": {"momentum": 0.9}}}
    assert changed(prints(), prints(**changes)) == [set()] * 6
    config = small_config()
    reordered = {key: config[key] for key in reversed(config)}
    assert [c.score for c in expand(Context.of(parse(reordered))).cells] == [c.score for c in expand(context()).cells]


def test_seed_moves_the_run(project):
    """Each seed is a run."""
    one, other = prints(grid={"seeds": [0]}), prints(grid={"seeds": [1]})
    assert changed(one, other) == [{"train", "predict", "score"}] * 6


def test_component_version_moves_what_depends_on_it(project, monkeypatch):
    """Raising the metric's version rescores; raising the inference's predicts again; neither trains."""
    before = prints()
    monkeypatch.setitem(__import__("xdseg.versions", fromlist=["VERSIONS"]).VERSIONS, "metric", 2)
    assert changed(before, prints()) == [{"score"}] * 6


def test_targets_labels_are_in_no_source_run(project):
    """New labels of b's training split move the runs that learn from them and no other."""
    path = Path("data/locks/toy/b--train.labels.json")
    before = prints(grid={"methods": ["source-only"]})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "0" * 64}))
    assert changed(before, prints(grid={"methods": ["source-only"]})) == [set(), {"train", "predict", "score"}]


def test_targets_evaluation_labels_move_the_score_only(project):
    """Corrected ground truth rescores stored predictions."""
    path = Path("data/locks/toy/b--val.labels.json")
    before = prints(grid={"methods": ["source-only"], "pairs": ["a->b"]})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "0" * 64}))
    assert changed(before, prints(grid={"methods": ["source-only"], "pairs": ["a->b"]})) == [{"score"}]


def test_run_without_the_targets_label_lock_resolves(project):
    """The training of a->b resolves although nothing of b's labels is there to be read."""
    for path in Path("data/locks/toy").glob("b--*.labels.json"):
        path.unlink()
    cell = next(c for c in expand(context()).cells if str(c.pair) == "a->b")
    assert len(cell.run.fingerprint) == len(cell.predict) == 64
    with pytest.raises(BadInput, match=r"b--val\.labels\.json"):
        cell.score  # noqa: B018


def test_unlabelled_split_excludes_with_a_reason(project):
    """A domain without training labels can be a target, but neither source nor oracle."""
    lock = json.loads(Path("data/locks/toy.json").read_text())
    lock["domains"]["b"]["splits"]["train"]["labelled"] = False
    Path("data/locks/toy.json").write_text(json.dumps(lock))
    Path("data/locks/toy/b--train.labels.json").unlink()
    expansion = expand(context())
    assert [(c.method, str(c.pair)) for c in expansion.cells] == [("source-only", "a->b"), ("source-aug", "a->b")]
    assert {e.reason for e in expansion.excluded} == {"b train has no labels"}
    assert all(len(cell.score) == 64 for cell in expansion.cells), "and what is left can be scored"


def test_classes_that_a_domain_lacks_are_dropped_for_the_pair(project):
    """`drop` scores what source and target both know; `field` scores all."""
    config = {"suites": {"toy": {"present": {"b": ["ground", "sky"]}}}}
    assert changed(prints(), prints(**config)) == [{"score"}] * 6, "said in params.yaml, without preparing again"
    assert {cell.kept for cell in expand(context(**config)).cells} == {(0, 2)}
    field = {"protocols": {"tiny": {"scoring": {"absent": "field"}}}}
    assert {cell.kept for cell in expand(context(**config, **field)).cells} == {(0, 1, 2)}


def test_path_leads_back_to_its_run(project):
    """A command is told a path and nothing else."""
    here = context()
    for run in expand(here).runs:
        assert find_run(here, run.folder).fingerprint == run.fingerprint


def test_path_of_other_settings_is_refused(project):
    """A job that was planned under other settings stops instead of writing into the wrong folder."""
    run = expand(context()).runs[0]
    other = context(protocols={"tiny": {"training": {"steps": 9}}})
    with pytest.raises(BadInput, match="the settings in force do not give this fingerprint"):
        find_run(other, run.folder)


def test_receipt_of_predictions_names_what_the_grid_wants(project):
    """Fewer targets is another receipt of the same run."""
    both = expand(context())
    run = next(r for r in both.runs if r.key == ("source-only", ("a",), None, 0))
    alone = expand(context(grid={"methods": ["source-only"]}))
    assert predictions_path(run, both.cells) != predictions_path(run, alone.cells)
    assert predictions_path(run, both.cells) == predictions_path(run, reversed(both.cells))


def test_committed_record_is_used_only_with_the_full_fingerprint(project):
    """A record whose first eight characters agree and whose rest does not is left aside."""
    plan = Plan(parse(small_config()))
    cell = plan.cells[0]
    path = Path("records") / cell.record_name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"fingerprints": {"score": cell.score[:8] + "0" * 56}}))
    assert Plan(parse(small_config())).records[0] == f"results/records/{cell.record_name}"
    path.write_text(json.dumps({"fingerprints": {"score": cell.score}}))
    assert Plan(parse(small_config())).records[0] == f"records/{cell.record_name}"
    assert Plan(parse(merge(small_config(), {"records": "ignore"}))).records[0].startswith("results/")


def test_pair_with_unknown_domain_is_refused(project):
    """With the nearest domain."""
    with pytest.raises(BadInput, match=r"grid.pairs: a->bb: no domain 'bb'; did you mean 'b'\?"):
        expand(context(grid={"pairs": ["a->bb"]}))


def test_weights_file_is_what_is_in_it(project, tmp_path):
    """Other content is another run; the same content at another place is not."""

    def run(path: Path) -> str:
        config = {"segmenters": {"deeplabv3plus": {"weights": str(path)}}}
        return expand(context(**config)).cells[0].run.fingerprint

    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    one.write_bytes(b"a")
    two.write_bytes(b"a")
    first = run(one)
    assert run(two) == first
    two.write_bytes(b"bb")
    assert run(two) != first
    with pytest.raises(BadInput, match=r"absent\.safetensors: no such file"):
        run(tmp_path / "absent.safetensors")


def test_planning_time_grows_with_the_cells(project):
    """Paths of a run are looked up, not searched: a run asks only for its own cells."""
    plan = Plan(parse(small_config()))
    folder = next(iter(plan.runs))
    assert {str(cell.run.folder) for cell in plan.cells_of_run[folder]} == {folder}
    assert sum(map(len, plan.cells_of_run.values())) == len(plan.cells)
    with pytest.raises(BadInput, match="ask for no such file"):
        plan.training_inputs("results/toy/source-only/a/s0-deadbeef")


def test_damaged_lock_is_one_line(project):
    """An empty or foreign lock names the command that mends it."""
    Path("data/locks/toy.json").write_text("{}")
    with pytest.raises(BadInput, match=r"data/locks/toy\.json: not a lock .*run `xdseg prepare toy`"):
        expand(context())


def test_missing_lock_names_the_command(project):
    """One line, with what to run."""
    Path("data/locks/toy.json").unlink()
    with pytest.raises(BadInput, match="no lock; run `xdseg prepare toy`"):
        expand(context())


def test_config_is_not_changed_by_parsing():
    """Parsing leaves the merged configuration as Snakemake gave it."""
    config = small_config()
    before = copy.deepcopy(config)
    parse(config)
    assert config == before


def test_a_grid_of_parts_is_their_union(project):
    """More seeds of one method and one more pair of another; what two parts name is one cell."""
    also = [{"methods": ["source-only"], "seeds": [0, 1, 2]}, {"methods": ["source-aug"], "pairs": ["b->a"]}]
    grid = {"methods": ["source-only", "source-aug"], "pairs": ["a->b"], "also": also}
    found = {(cell.method, str(cell.pair), cell.seed) for cell in expand(context(grid=grid)).cells}
    assert found == {
        *(("source-only", "a->b", seed) for seed in (0, 1, 2)),
        ("source-aug", "a->b", 0),
        ("source-aug", "b->a", 0),
    }
    assert len(expand(context(grid=grid)).cells) == len(found)


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({"methods": ["source-olny"]}, "grid.also[0].methods: unknown 'source-olny'; did you mean 'source-only'?"),
        ({"methods": ["source-only"], "seeds": [1, 1]}, "grid.also[0].seeds: name at least one, and each once"),
        ({"methods": ["source-only"], "pairs": ["a->z"]}, "grid.also[0].pairs: a->z: no domain 'z'"),
    ],
)
def test_faults_of_a_part_are_named(project, part, line):
    """The number of the part stands in the key."""
    with pytest.raises(BadInput) as error:
        expand(context(grid={"pairs": ["a->b"], "also": [part]}))
    assert line in str(error.value)
