"""What stands beside numbers in MLflow: model cards, data as inputs, boards as parents."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_tracking import Flaky, empty_store, entered, fresh, plan, put_all, record_of, visible, write_record

from xdseg.cli import main
from xdseg.data.streetworld import settings as streetworld
from xdseg.params import load
from xdseg.settings.suites import GeneratedSuite, PublicDomain, PublicSuite
from xdseg.tracking.boards import links, wanted_board
from xdseg.tracking.cards import SHORTENED, fit, plain, training_card
from xdseg.tracking.inputs import Inputs
from xdseg.tracking.mirror import SAME, UPDATED
from xdseg.tracking.names import experiment_name
from xdseg.tracking.records import all_records, load_all, wanted_runs
from xdseg.tracking.store import StoreAway
from xdseg.tracking.terms import source_of, terms_of
from xdseg.tracking.wanted import training

__all__ = ["empty_store", "fresh", "plan"]  # fixtures of the mirror's own tests

NOTE = "mlflow.note.content"


def locked(domain: str, split: str) -> tuple[str, str]:
    """Digests of images and labels, as the project's lock files have them."""
    images = json.loads(Path("data/locks/toy.json").read_text())["domains"][domain]["splits"][split]["images"]
    return images, json.loads(Path(f"data/locks/toy/{domain}--{split}.labels.json").read_text())["digest"]


def all_wanted(paths=None) -> dict:
    """What is to be shown of all records, with their data, by kind and name."""
    return {(one.kind, one.name): one for one in wanted_runs(load_all(paths or all_records()), Inputs(load()))}


# --- data


def test_inputs_are_the_splits_of_the_lock(plan):
    """source-only(a) learnt from a's training split with labels and is tested on b's val; digests are the lock's."""
    for cell in plan.cells:
        write_record(cell)
    wanted = all_wanted()
    (learnt,) = wanted["training", "source-only a s0 · training"].inputs
    images, labels = locked("a", "train")
    assert (learnt.name, learnt.context, learnt.count) == ("toy/a/train", "source", 4)
    assert (learnt.images, learnt.labels, learnt.digest) == (images, labels, f"{images[:16]}-{labels[:16]}")
    (tested,) = wanted["cell", "source-only a→b s0"].inputs
    images, labels = locked("b", "val")
    assert (tested.name, tested.context, tested.count) == ("toy/b/val", "evaluation", 2)
    assert tested.digest == f"{images[:16]}-{labels[:16]}"
    assert json.loads(tested.source) == {"uri": "$XDSEG_DATA/toy/b/val.txt"}, "no path of this machine"


def test_data_that_changed_since_are_not_claimed(plan):
    """The lock's digest is another than at training: a record of before gets no input of now."""
    write_record(plan.cells[0])
    path = Path("data/locks/toy.json")
    lock = json.loads(path.read_text())
    lock["domains"]["a"]["splits"]["train"]["images"] = "0" * 64
    path.write_text(json.dumps(lock))
    wanted = all_wanted()
    assert wanted["training", "source-only a s0 · training"].inputs == ()
    assert "has changed since" in wanted["training", "source-only a s0 · training"].note
    assert len(wanted["cell", "source-only a→b s0"].inputs) == 1, "its target is as it was"
    lock["domains"]["b"]["splits"]["val"]["images"] = "0" * 64
    path.write_text(json.dumps(lock))
    assert all_wanted()["cell", "source-only a→b s0"].inputs == ()


@pytest.fixture
def adapting(project):
    """A grid with a method that sees target images, and one that starts from another run and sees labels."""
    config = project.config
    config["methods"]["dacs"] = {"setting": "uda", "segmenter": "deeplabv3plus", "adaptations": ["dacs"]}
    config["methods"]["fine-tune"] = {"setting": "finetune", "segmenter": "deeplabv3plus", "start": "source-only"}
    config["adaptations"] = {"dacs": {"kind": "dacs"}}
    for name in ("dacs", "fine-tune"):
        config["methods"][name] |= {"host": "source-only", "floor": "source-only", "ceiling": "oracle"}
    config["grid"] |= {"methods": ["source-only", "oracle", "dacs", "fine-tune"], "pairs": ["a->b"]}
    project.write(config)
    from xdseg.workflow import Plan

    return Plan(load())


def test_target_images_with_and_without_labels(adapting):
    """uda: images alone, another digest than with labels; fine-tuning: with labels, found through the run it began."""
    for cell in adapting.cells:
        write_record(cell)
    wanted = all_wanted()
    images, labels = locked("b", "train")
    source, target = wanted["training", "dacs a→b s0 · training"].inputs
    assert (source.context, target.context) == ("source", "target")
    assert target.labels is None and target.digest == images[:16]
    tuned = wanted["training", "fine-tune a→b s0 · training"].inputs
    assert [one.digest for one in tuned][1] == f"{images[:16]}-{labels[:16]}"
    cards = {name: wanted["training", f"{name} a→b s0 · training"].note for name in ("dacs", "fine-tune")}
    assert "**Supervision:** labels of a; images of b without their labels" in cards["dacs"]
    assert "toy/b/train** (target): 4 images, without labels" in cards["dacs"]
    assert "**Supervision:** labels of a and of b" in cards["fine-tune"]


def test_a_run_whose_parent_is_unknown_claims_nothing(adapting):
    """Without the record of the run that fine-tuning began from its fingerprint cannot be made again."""
    for cell in adapting.cells:
        if cell.method == "fine-tune":
            write_record(cell)
    assert all_wanted()["training", "fine-tune a→b s0 · training"].inputs == ()


def test_data_of_an_entered_row(plan):
    """It says itself what it was scored against; another lock than that is not claimed."""
    from xdseg.cells import score_payload

    path = Path("records/toy/my-net/a--b/s0-d4d4d4d4.json")
    entered(path, record_of(plan.cells[0]))
    assert all_wanted()["cell", "my-net a→b s0"].inputs == ()
    record = json.loads(path.read_text()) | {"scored_as": score_payload(plan.context, plan.cells[0].pair)}
    path.write_text(json.dumps(record))
    assert [one.name for one in all_wanted()["cell", "my-net a→b s0"].inputs] == ["toy/b/val"]


def test_inputs_read_back_as_mlflows_datasets(plan, fresh):
    """Name, digest, profile, context and source through the client; mlflow.data knows the source; found by search."""
    import mlflow.data

    write_record(plan.cells[0])
    mirror = fresh()
    for one in all_wanted().values():
        mirror.put(one)
    number = mirror.client.get_experiment_by_name(experiment_name("toy", "0.1.0")).experiment_id
    (run,) = mirror.client.search_runs([number], "dataset.name = 'toy/a/train' AND dataset.context = 'source'")
    assert run.info.run_name == "source-only a s0 · training"
    (found,) = run.inputs.dataset_inputs
    images, labels = locked("a", "train")
    assert found.dataset.digest == f"{images[:16]}-{labels[:16]}"
    assert json.loads(found.dataset.profile) == {"images": 4, "images_sha256": images, "labels_sha256": labels}
    assert mlflow.data.get_source(found.dataset).to_dict() == {"uri": "$XDSEG_DATA/toy/a/train.txt"}
    for context, name in (("evaluation", "source-only a→b s0"), ("target", None)):
        runs = mirror.client.search_runs([number], f"dataset.context = '{context}'")
        assert [run.info.run_name for run in runs] == ([name] if name else [])


def test_other_data_replaces_the_run(plan, fresh):
    """MLflow takes no input away: a run whose data turn out to be others is made anew, the rest stays."""
    write_record(plan.cells[0])
    mirror, wanted = fresh(), all_wanted()
    cell = wanted["cell", "source-only a→b s0"]
    other = replace(cell, inputs=(replace(cell.inputs[0], images="f" * 64),))
    assert [mirror.put(one) for one in (cell, cell, other, other)] == ["new", SAME, "replaced", SAME]
    mirror.forget()
    assert mirror.find("toy", "cell", cell.key).inputs == {other.inputs[0].identity}
    assert mirror.put(replace(other, inputs=())) == UPDATED, "not known is not other"
    assert mirror.find("toy", "cell", cell.key).inputs == {other.inputs[0].identity}


def test_sources_and_terms_of_each_kind_of_suite():
    """A generated suite is code, a public one names its data set's licence, a folder refers to its README."""
    made = GeneratedSuite(kind="streetworld")
    kind, source = source_of(made, "a", "train")
    assert kind == "code" and json.loads(source)["tags"]["generator"] == f"streetworld {streetworld.VERSION}"
    assert terms_of(made, "a") == "generated by XDSeg from a seed; published pages may show it"
    public = PublicSuite(kind="public", classes="cityscapes", domains={"idd": PublicDomain(dataset="gta5", root="/g")})
    assert source_of(public, "idd", "train") == ("local", '{"uri": "/g/train"}')
    assert "(its wording is unconfirmed); published pages do not show its images" in terms_of(public, "idd")
    assert terms_of(None, "a").startswith("unknown")


# --- cards


def test_a_card_says_what_the_record_says(plan, fresh):
    """Read back through the client: rows of both cells, costs, commit, protocol, note, data and terms."""
    home = plan.cells[0].run
    for number, cell in enumerate(cell for cell in plan.cells if cell.run.key == home.key):
        write_record(cell, miou=(1 + number) / 3)
    mirror = fresh()
    for one in all_wanted().values():
        mirror.put(one)
    mirror.forget()
    card = mirror.find("toy", "training", home.name).tags[NOTE]
    images, labels = locked("a", "train")
    for line in (
        "## source-only · a · seed 0",
        "- **Network:** deeplabv3plus",
        "- **Adaptation:** none",
        "- **Supervision:** labels of a; no other domain is seen",
        "- **Note:** toy",
        "| source-only a→b | b val | 2 | 33.33 | 75.00 | 3 of 3 |",
        "| oracle b→a | a val | 2 | 66.67 | 75.00 | 3 of 3 |",
        f"- **toy/a/train** (source): 4 images, with labels; digest {images[:16]}-{labels[:16]}",
        "- terms of **a**: as the README in $XDSEG\\_DATA/toy states; published pages do not show its images",
        "- **Name:** tiny",
        "- **Checkpoint:** last step",
        "- **Inference:** size native, mode whole",
        "- **Training:** 1.00 min, 6 steps",
        "- **Parameters:** 1,000, 1,000 of them trained",
        "- **Commit:** c0ffee",
        "- **Train fingerprint:** " + home.fingerprint,
    ):
        assert line in card.splitlines(), line


def test_names_in_a_card_are_only_text(plan):
    """Tags, links and table rules in a class, note or domain are shown, not obeyed."""
    evil = "<img src=x onerror=alert(1)>[a](javascript:alert(2))|**b**`c`\nd"
    record = record_of(plan.cells[0]) | {"note": evil, "classes": [evil, *plan.context.lock.classes[1:]]}
    name = {"method": "m", "source": "a", "seed": "0"}
    card = training_card(name, [record], [], terms={evil: evil})
    safe = "&lt;img src=x onerror=alert(1)&gt;\\[a\\](javascript:alert(2))\\|\\*\\*b\\*\\*\\`c\\` d"
    assert plain(evil) == safe
    assert "<" not in card and card.count(safe) == 4
    assert f"- **Note:** {safe}" in card.splitlines()


def test_published_numbers_of_that_name_and_pair(plan):
    """DACS on GTA5 → Cityscapes stands in published.csv with 52.1; another method's card does not show it."""
    record = record_of(plan.cells[0]) | {"source": ["gta5"], "target": "cityscapes", "method": "dacs"}
    name = {"method": "dacs", "source": "gta5", "target": "cityscapes", "seed": "0"}
    assert "- DACS, gta5→cityscapes: 52.1 (DeepLabV2-R101, DACS, 2021, " in training_card(name, [record], [], terms={})
    assert "Published" not in training_card(name | {"method": "mic"}, [record], [], terms={})


def test_a_long_card_ends_with_a_whole_line():
    """MLflow takes 8000 characters."""
    text = "\n".join(f"- line {n:05d}" for n in range(1000))
    short = fit(text)
    assert len(short) <= 8000 and short.endswith(SHORTENED)
    assert short.removesuffix(SHORTENED).splitlines()[-1] in text.splitlines()
    assert fit("a" * 8000) == "a" * 8000


def test_a_description_that_people_edited_is_left(plan, fresh):
    """Ours follows the record, theirs stays, also when the run is replaced."""
    write_record(plan.cells[0], miou=0.4)
    mirror = fresh()
    put_all(mirror)
    run = mirror.find("toy", "training", plan.cells[0].run.name).run_id
    mirror.client.set_tag(run, NOTE, "mine")
    mirror.forget()
    write_record(plan.cells[0], miou=0.6)
    put_all(mirror)
    assert mirror.client.get_run(run).data.tags[NOTE] == "mine"
    mirror.forget()
    write_record(plan.cells[0], miou=0.6, started=7200)
    put_all(mirror)
    mirror.forget()
    held = mirror.find("toy", "training", plan.cells[0].run.name)
    assert held.run_id != run and held.tags[NOTE] == "mine"
    mirror.client.set_tag(held.run_id, NOTE, "")  # emptied: ours comes back
    mirror.forget()
    write_record(plan.cells[0], miou=0.7, started=7200)
    put_all(mirror)
    assert "| 70.00 |" in mirror.client.get_run(held.run_id).data.tags[NOTE]


# --- boards


BOARD_TABLE = {
    "source-only": {"miou": 40.0, "iou_sky": 12.5, "seeds": 1, "setting": "source", "origin": "run"},
    "oracle": {"miou": None, "seeds": 1, "parameters_millions": 2.5, "setting": "oracle", "origin": "run"},
}


def publish(cells, *, name: str = "toy", table: dict | None = None) -> Path:
    """A board's files as the workflow would publish them."""
    folder = Path("reports") / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "leaderboard.json").write_text(json.dumps(table or BOARD_TABLE))
    (folder / "leaderboard.csv").write_text('method,miou,note\nsource-only,40.00,"a, b"\noracle,,\n')
    rows = "".join(f"{cell.method},{cell.score[:8]}\n" for cell in cells)
    (folder / "cells.csv").write_text(f"method,score\n{rows}")
    (folder / "gains.csv").write_text("method,against,role,gain,low,high\noracle,source-only,floor,12.01,-2.32,26.34\n")
    (folder / "costs.csv").write_text("method,train_minutes\nsource-only,3.0\nsource-only,5.0\noracle,\n")
    (folder / "index.html").write_text("<p>page</p>")
    return folder


def mirrored(mirror) -> dict:
    """Runs of the store by name."""
    (number,) = [e.experiment_id for e in mirror.client.search_experiments() if e.name.startswith("xdseg/")]
    return {run.info.run_name: run for run in mirror.client.search_runs([number])}


def test_a_board_is_the_parent_of_its_rows(plan, fresh, capsys):
    """Rows are nested in the board with means, gains and costs; cells stay in their trainings and bear its tag."""
    import mlflow.artifacts

    for cell in plan.cells[:2]:
        write_record(cell)
    publish(plan.cells[:1])
    mirror = fresh()
    for done in ("7 new, 0 updated, 0 replaced, 0 unchanged", "0 new, 0 updated, 0 replaced, 7 unchanged"):
        assert main(["track", "--all"]) == 0
        assert f"2 trainings, 2 cells, 1 boards, 2 rows; {done}" in capsys.readouterr().out
    runs = mirrored(mirror)
    (name,) = [name for name in runs if name.startswith("board toy ")]
    board, content = runs[name], name.rpartition(" ")[2]
    nested = {n: r for n, r in runs.items() if r.data.tags.get("mlflow.parentRunId") == board.info.run_id}
    assert sorted(nested) == [f"oracle · toy {content}", f"source-only · toy {content}"]
    assert nested[f"source-only · toy {content}"].data.metrics == {
        "points/miou": 40.0,
        "points/iou_sky": 12.5,
        "resources/train_minutes": 4.0,
    }
    oracle = nested[f"oracle · toy {content}"].data
    assert oracle.metrics == {
        "gain/floor": 12.01,
        "gain/floor low": -2.32,
        "gain/floor high": 26.34,
        "resources/parameters_millions": 2.5,
    }
    assert oracle.tags["xdseg.floor"] == "source-only"
    assert oracle.params == {"method": "oracle", "setting": "oracle"}
    tagged = {n: r for n, r in runs.items() if r.data.tags.get("board.toy") == content}
    assert list(tagged) == ["source-only a→b s0"]
    above = tagged["source-only a→b s0"].data.tags["mlflow.parentRunId"]
    assert runs["source-only a s0 · training"].info.run_id == above
    table = mlflow.artifacts.load_dict(f"{board.info.artifact_uri}/tables/leaderboard.json")
    rows = [["source-only", 40.0, "a, b"], ["oracle", "", ""]]
    assert table == {"columns": ["method", "miou", "note"], "data": rows}
    shown = json.loads(board.data.tags["mlflow.loggedArtifacts"])
    assert [one["path"] for one in shown] == ["tables/leaderboard.json", "tables/cells.json"]
    assert f"``tags.`board.toy` = '{content}'``" in board.data.tags[NOTE]


def test_a_cell_that_was_there_before_its_board_is_tagged(plan, fresh):
    """Published later, then anew with fewer cells: the tag names the last board that shows the cell."""
    for cell in plan.cells[:2]:
        write_record(cell)
    mirror = fresh()
    assert main(["track", "--all"]) == 0
    publish(plan.cells[:2])
    assert main(["track", "--all"]) == 0
    first = {n: r.data.tags.get("board.toy") for n, r in mirrored(mirror).items() if " s0" in n and "·" not in n}
    assert len(set(first.values())) == 1 and None not in first.values()
    publish(plan.cells[:1])
    assert main(["track", "--all"]) == 0
    second = {n: r.data.tags.get("board.toy") for n, r in mirrored(mirror).items() if n in first}
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {f"{plan.cells[0].method} {plan.cells[0].pair.origin}→{plan.cells[0].pair.target} s0"}


def test_a_board_cut_short_is_completed(plan, fresh):
    """Whichever write of cell, board, rows or tags fails, the next mirroring ends where an unbroken one does."""
    write_record(plan.cells[0])
    publish(plan.cells[:1])
    recorded = load_all(all_records())
    boards = wanted_board("toy", "toy", recorded)
    wanted = [*wanted_runs(recorded, Inputs(load())), *boards]

    def put(mirror) -> None:
        mirror.links = links(boards)
        for one in wanted:
            mirror.put(one)
        mirror.link()

    def shown(mirror) -> dict:
        """What a store shows, without the times of boards and rows, which are those of their writing."""
        found = {}
        for key, (name, status, *times, tags, params, history, inputs) in visible(mirror).items():
            if key.startswith(boards[0].key):
                times, history = (), {metric: [(s, v) for s, _, v in h] for metric, h in history.items()}
            found[key] = (name, status, times, tags, params, history, inputs)
        return found

    whole = fresh()
    put(whole)
    mirror, failures = fresh(), 0
    while True:
        mirror.client, client = Flaky(mirror.client, 1 + 2 * failures), mirror.client  # files are written again
        try:
            put(mirror)
            break
        except StoreAway:
            failures += 1
        finally:
            mirror.client = client
            mirror.forget()
    assert failures > 4
    assert shown(mirror) == shown(whole)


def test_versions_of_the_benchmark_have_their_own_experiments(plan, fresh):
    """A record of another version is another experiment's, its training too; a board is the newest version's."""
    path = write_record(plan.cells[0])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"benchmark_version": "0.10.0"}))
    write_record(plan.cells[1])
    publish(plan.cells[:2])
    recorded = load_all(all_records())
    wanted = wanted_runs(recorded)
    by_version = {one.version: {o.kind for o in wanted if o.version == one.version} for one in wanted}
    assert by_version == {"0.1.0": {"training", "cell"}, "0.10.0": {"training", "cell"}}
    assert {one.version for one in wanted_board("toy", "toy", recorded)} == {"0.10.0"}
    mirror = fresh()
    put_all(mirror)
    names = sorted(e.name for e in mirror.client.search_experiments() if e.name != "Default")
    assert names == ["xdseg/toy 0.1.0", "xdseg/toy 0.10.0"]
    described = mirror.client.get_experiment_by_name("xdseg/toy 0.10.0").tags["mlflow.note.content"]
    assert described.startswith("Suite toy, version 0.10.0: ")


def test_the_card_of_a_training_counts_as_its_content(plan):
    """Equal records give equal contents, another note another."""
    record = record_of(plan.cells[0])
    one, same = (training([(Path("r"), dict(record))]) for _ in range(2))
    other = training([(Path("r"), record | {"note": "else"})])
    assert one.content == same.content != other.content
