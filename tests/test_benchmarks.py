"""The benchmarks, small: what they print, what their figures mean, and that arms which differ are not compared."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from tiny_jobs import CLASSES, segmenter_settings

from xdseg.data.decoding import map_ids
from xdseg.datasets.listing import found, missing
from xdseg.registry import ADAPTATIONS
from xdseg.segmenters.build import build_segmenter
from xdseg.settings.tmt import Tmt

FOLDER = ROOT / "benchmarks"
SCRIPTS = {
    "scoring": {"scoring"},
    "loader": {"loader_jpeg", "loader_png"},
    "train_step": {"train_step_deeplabv3plus"},
    "adaptation_step": {"dacs_floor", "predict_dacs_mfm"},
    "pipeline": {"run_overhead", "target_overhead", "dry_run"},
    "dataset_check": {"again_command", "again_process", "map_sequential"},
    "eomt_ladder": {"eomt_S-256"},
    "tmt": {"clustering_loop", "clustering_exponent"},
    "selective_scan": {"scan_training", "scan_forward", "scan_exponent"},
    "paper_size": {"gib_mfuser-eva", "gib_rein"},
    "fuser_attention": {"exponent_training"},
    "statistics_coverage": {"false_positives", "coverage_low", "coverage_high"},
    "page_scale": {"build_s", "build_gib", "open_s", "sort_ms"},
    "scale": {"growth"},
}
OUTPUT = re.compile(r"^    (?:output|log|benchmark):\n((?:        .*\n)+)", re.MULTILINE)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch):
    """Loads a module of benchmarks/ as its scripts see it."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        found = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, found)
        spec.loader.exec_module(found)
        return found

    yield load
    for name in (
        "measure",
        "device_costs",
        "fuser_figure",
        "images",
        "dataset_arms",
        "dataset_project",
        "dataset_tree",
        "ladder_arms",
        "ladder_scaling",
        "memory",
        "scale_figure",
        "scan_arms",
        "statistics_simulated",
    ):
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_last_line_is_the_bounded_figures(name: str, tmp_path: Path):
    """One JSON object, at its top level the bounded figures and no other number; the file adds where it ran."""
    if name == "page_scale" and not shutil.which("chromium"):
        pytest.skip("needs Chromium: apt-get install chromium")
    out = tmp_path / "out.json"
    command = [sys.executable, FOLDER / f"{name}.py", "--quick", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == SCRIPTS[name] | {"detail"}
    assert all(told[key] > 0 for key in SCRIPTS[name])
    assert set(told["detail"]["holds"]) == SCRIPTS[name] and told["detail"]["quick"] is True
    written = json.loads(out.read_text())
    environment = written.pop("environment")
    assert written == told and environment["device"] and environment["packages"]["torch"]
    assert "quartiles" in done.stdout


def test_median_of_rounds_counts_and_bounds_are_kept_or_not(module):
    """By hand: of 1, 2 and 9 the median is 2, its quartiles 1.5 and 5.5; a bound may be met exactly."""
    figure = module("measure").Figure
    assert figure("a", [9, 1, 2]).value == 2
    assert figure("a", [9, 1, 2]).spread() == (1.5, 5.5)
    assert figure("a", [2.0], least=2).holds and not figure("a", [1.99], least=2).holds
    assert figure("a", [2.0], most=2).holds and not figure("a", [2.01], most=2).holds
    assert figure("a", [1.0], most=2).bound == "≤ 2" and figure("a", [1.0]).bound == ""


@pytest.mark.parametrize(("arguments", "value", "code"), [([], 1, 0), (["--check"], 1, 1), (["--check"], 3, 0)])
def test_a_missed_bound_fails_only_when_asked(module, capsys, arguments, value, code):
    """Measured is exit code 0; --check makes a miss 1; the table shows it either way."""
    measure = module("measure")
    results = measure.Results(
        bounded=[measure.Figure("fast", [value], least=2)], others=[measure.Figure("else", [7.0])], notes={"size": 5}
    )
    assert measure.report(results, measure.options("Text.", arguments)) == code
    lines = capsys.readouterr().out.splitlines()
    assert ("missed" if value < 2 else "holds") in "".join(lines[:-1])
    told = json.loads(lines[-1])
    assert told.keys() == {"fast", "detail"} and told["fast"] == value
    assert told["detail"]["figures"]["else"]["median"] == 7 and told["detail"]["size"] == 5


def test_growth_of_a_grid_is_that_of_its_further_cells(module):
    """By hand: 100 s for what is done once, then 2 s a cell, 2.5 s beyond 200: 1.25."""
    scale = module("scale")
    known = {
        "runs": 1,
        "wall_s": 1.0,
        "scheduler_mib": 1.0,
        "again_wall_s": 1.0,
        "again_cpu_s": 1.0,
        "files": 1,
        "mib": 1.0,
    }
    spent = {40: (170.0, 10.0), 200: (480.0, 20.0), 1000: (2400.0, 100.0)}
    grids = [scale.Grid(cells=n, jobs_cpu_s=jobs, scheduler_cpu_s=own, **known) for n, (jobs, own) in spent.items()]
    found = scale.results(grids, 40)
    assert found.bounded[0].value == 1.25 and found.bounded[0].holds
    assert {figure.name: figure.value for figure in found.others}["s_per_further_cell"] == 2.5


def test_out_in_no_folder_is_refused_before_measuring(module, capsys, tmp_path):
    """Ten minutes of measuring must not end with a file that cannot be written."""
    with pytest.raises(SystemExit) as stopped:
        module("measure").options("Text.", ["--out", str(tmp_path / "none/out.json")])
    assert stopped.value.code == 2 and "no such folder" in capsys.readouterr().err


def test_arms_take_turns(module):
    """A B, B A, A B …: no arm always follows the other; the warm-up is not counted."""
    measure, calls, ticks = module("measure"), [], iter(range(1000))
    arms = {name: lambda name=name: calls.append(name) for name in "AB"}
    seconds = measure.in_turns(arms, rounds=3, warmup=1, clock=lambda: next(ticks))
    assert "".join(calls) in ("ABBAABBA", "BAABBAAB")
    assert seconds == {"A": [1, 1, 1], "B": [1, 1, 1]}
    assert measure.ratios([4, 9], [2, 3]) == [2, 3]


def test_arms_that_count_differently_are_not_compared(module, monkeypatch):
    """A faster count that is wrong is no figure."""
    scoring = module("scoring")
    truth = scoring.np.zeros((8, 8), scoring.np.uint8)
    scoring.check_equal([(truth, truth)])
    monkeypatch.setattr(scoring, "ours", lambda pairs: scoring.np.zeros((19, 19)))
    with pytest.raises(SystemExit, match="count differently"):
        scoring.check_equal([(truth, truth)])


def test_scans_that_differ_are_not_compared(module, monkeypatch):
    """A faster scan that is wrong is no figure, forwards or backwards."""
    scan = module("selective_scan")
    x = scan.arms.draw(**scan.SMALL)
    wanted = scan.torch.ones_like(x.u)
    scan.check_equal(x, wanted)
    monkeypatch.setitem(scan.TRAINING, "halved", lambda x: scan.arms.ours(x) / 2)
    with pytest.raises(SystemExit, match="halved and ours differ"):
        scan.check_equal(x, wanted)


def test_exponent_of_a_power_law(module):
    """By hand: time that doubles with the length has 1, that quadruples 2, that stays 0."""
    exponent = module("measure").exponent
    assert [exponent((1, 2, 4), times) for times in ((3, 6, 12), (1, 4, 16), (5, 5, 5))] == pytest.approx([1, 2, 0])


def test_attention_that_differs_is_not_compared(module, monkeypatch):
    """The form with a matrix of all pairs gives what the fused kernel gives, or nothing is measured."""
    fusers = module("fuser_attention")
    cpu = fusers.torch.device("cpu")
    made = fusers.arms(32, cpu)
    fusers.check_equal(made, 32, cpu)
    made[fusers.PLAIN].fused = fusers.arms(32, cpu)[fusers.ATTENTION].requires_grad_(False)
    made[fusers.PLAIN].fused.attention.query.weight.mul_(2)
    with pytest.raises(SystemExit, match="plain attention and the fused kernel differ"):
        fusers.check_equal(made, 32, cpu)


def test_crossing_by_hand(module):
    """Ratios of 1/2, 2 and 8 cross 1 half-way between the first two lengths, in logarithms; the last one counts."""
    crossing = module("fuser_attention").crossing
    ours = dict.fromkeys((100, 400, 1600), 1.0)
    assert crossing(ours, {100: 0.5, 400: 2.0, 1600: 8.0}) == pytest.approx(200)
    assert crossing(ours, {100: 1.0, 400: 2.0, 1600: 8.0}) is None, "never slower"
    assert crossing(ours, {100: 0.1, 400: 0.5, 1600: 0.9}) is None, "always slower"
    assert crossing(ours, {100: 2.0, 400: 0.5, 1600: 2.0}) == pytest.approx(800)
    assert crossing(ours, {100: 0.5, 400: 2.0}) == pytest.approx(200), "lengths that both have"


def test_figure_of_fusers_is_the_same_twice(module, tmp_path):
    """Byte for byte, as table, picture and drawing; one line of the table per row."""
    figure = module("fuser_figure")
    rows = [
        figure.Row("cpu", "fp32", kind, arm, tokens, tokens / 3, 2.0 * tokens)
        for kind in (figure.FORWARD, figure.TRAINING)
        for arm in (figure.FUSER, figure.ATTENTION)
        for tokens in (64, 128)
    ]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        figure.save(rows, tmp_path / name / "out.json")
    for ending in ("csv", "png", "svg"):
        one, two = ((tmp_path / name / f"out.{ending}").read_bytes() for name in ("one", "two"))
        assert one == two and one
    lines = (tmp_path / "one/out.csv").read_text().splitlines()
    assert len(lines) == 1 + len(rows) and lines[1] == "cpu,fp32,forward,MVFuser,64,21.33,128.0"


def test_scan_on_a_device_is_written_part_by_part(module, tmp_path, monkeypatch):
    """Costs and parity of what runs; an arm that fails, and a part that fails, are told and the rest goes on."""
    gpu, out = module("scan_gpu"), tmp_path / "out.json"

    def fails(x):
        raise RuntimeError("no\nkernel")

    real = gpu.arms_for
    monkeypatch.setattr(gpu, "arms_for", lambda length, missing: real(length, missing) | {"kernel": fails})
    monkeypatch.setattr(gpu, "SHORT", (64, -1))
    assert gpu.main(["--quick", "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    assert [(part["dtype"], part["length"]) for part in told["parity"]] == [("fp32", 64), ("bf16", 64)]
    arms = told["parity"][0]["arms"]
    assert arms["chunked"]["within"] and arms["kernel"] == {"error": "RuntimeError: no kernel"}
    assert arms["chunked"]["errors"].keys() == {"y", "last", "u", "dt", "A", "B", "C", "D", "delta_bias"}
    assert told["training"][0]["arms"]["chunked"]["ms"] > 0 and told["training"][0]["arms"]["kernel"].keys() == {
        "error"
    }
    assert "RuntimeError" in told["forward"][-1]["arms"]["error"], "a length of -1"


def test_parity_sees_what_is_wrong(module):
    """Outputs that are off by a half are not within, by just that."""
    gpu = module("scan_gpu")
    x = gpu.draw(32, dtype=gpu.torch.float32, device=gpu.torch.device("cpu"), batch=1, channels=4)

    def halved(x):
        y, last = gpu.ours(x, backend="streaming")
        return y / 2, last

    found = gpu.parity(x, {"halved": halved}, gpu.TOLERANCES["fp32"])["halved"]
    assert not found["within"] and found["errors"]["y"]["relative"] == pytest.approx(0.5, rel=1e-3)
    assert found["errors"]["u"]["relative"] == pytest.approx(0.5, rel=1e-3)
    assert found["errors"]["last"]["relative"] < 1e-5


def test_kernel_is_built_of_what_is_needed(module, tmp_path):
    """Of the package the interface and what it imports; of the kernel two types, and B and C that change with time."""
    build = module("build_mamba_scan")
    source, out = tmp_path / "source", tmp_path / "out"
    for name in (*build.MODULES, "__init__", "models/large"):
        path = source / "mamba_ssm" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name = {name!r}\n")
    csrc = source / "csrc/selective_scan"
    csrc.mkdir(parents=True)
    switch = "BOOL_SWITCH(params.is_variable_B, kIsVariableB, [&] {\nBOOL_SWITCH(params.delta_softplus, kSoft, [&] {\n"
    for name in ("selective_scan.cpp", "static_switch.h", "kernel.cuh", "selective_scan_fwd_fp16.cu"):
        (csrc / name).write_text(switch)
    build.write_package(source, out)
    assert not (out / "mamba_ssm/__init__.py").read_text() and not (out / "mamba_ssm/models").exists()
    assert (out / "mamba_ssm/ops/triton/layer_norm.py").read_text() and (out / "mamba_ssm/ops/__init__.py").exists()
    sources = build.write_sources(csrc, out / "csrc")
    assert [path.name for path in sources] == [
        *("selective_scan.cpp", "not_built.cpp", "fwd_fp32.cu", "fwd_bf16.cu", "bwd_fp32.cu", "bwd_bf16.cu")
    ]
    assert (out / "csrc/kernel.cuh").read_text() == switch.replace("BOOL_SWITCH(params.is_v", "ONLY_TRUE(params.is_v")
    assert "selective_scan_bwd_cuda<at::BFloat16, float>(SSMParamsBwd &" in sources[-1].read_text()
    assert sources[1].read_text().count("TORCH_CHECK(false") == 8, "two directions of six pairs of types, but two"
    with pytest.raises(SystemExit):
        build.main([str(tmp_path), str(out)])


def test_bare_workflow_has_the_same_rules():
    """Every rule that the grid plans stands in bare.smk with the paths of its output, log and benchmark."""
    bare = rules((FOLDER / "bare.smk").read_text())
    true = {}
    for path in (ROOT / "Snakefile", *sorted((ROOT / "pipeline").glob("*.smk"))):
        true |= rules(path.read_text())
    assert bare.keys() == true.keys() - {"backbone", "backbones"}
    for name, paths in bare.items():
        assert paths == true[name], name


def rules(text: str) -> dict[str, list[str]]:
    """Paths of outputs, logs and benchmarks by rule, with short names written out."""
    run = "results/{suite}/{method}/{pair}/s{seed}-{train}"
    text = text.replace("<run>", run).replace("<cell>", run + "/{target}-{predict}")
    parts = re.split(r"^rule (\w+):\n", text, flags=re.MULTILINE)
    return {
        name: re.findall(r'"(results/[^"]+)"', "".join(OUTPUT.findall(body)))  # not what a report says of them
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_overheads_are_read_from_what_the_workflow_leaves(module, tmp_path):
    """Seconds of a benchmark file, and jobs of a dry run, as Snakemake writes them."""
    pipeline = module("pipeline")
    (tmp_path / "a.time").write_text("s\th:m:s\tmax_rss\n35.39\t0:00:35\t880.31\n")
    assert pipeline.seconds(tmp_path / "a.time") == 35.39
    said = (
        "job        count\n-------  -------\nall            1\ntrain         12\ntotal         13\n\nother line 5 x\n"
    )
    assert pipeline.planned(said) == {"all": 1, "train": 12, "total": 13}


def test_all_checks_find_the_same_and_a_second_one_leaves_the_lock(module, tmp_path):
    """A tree in GTA5's layout: ids and sizes by hand, plain and saving checks equal to ours, the lock byte for byte."""
    check = module("dataset_check")
    pairs = check.write_tree(tmp_path / "gta5", height=32, width=64, pairs=3, distinct=2)
    with Image.open(pairs[0][1]) as label:
        ids = check.np.array(label)
        assert label.mode == "P" and ids.shape == (32, 64) and not set(ids.flat) - {0, *check.cityscapes.SCORED}
    check.project.prepare(tmp_path, 3)
    before, ours = check.project.lock(tmp_path), check.project.looks(tmp_path, 3)
    assert ours[0][:2] == (True, sorted(set(ids.flat))) and ours[0] == ours[2] != ours[1]
    assert json.loads(before["data/locks/gta5.json"])["domains"]["gta5"]["splits"]["full"]["pixels"] == 3 * 32 * 64
    check.check_equal(ours, {"plain": check.arms.alone(check.arms.decoded, pairs)})
    check.check_equal(ours, {"saving": check.arms.pooled(check.arms.verified, pairs)})
    check.project.overlay(tmp_path, 3)
    check.project.command(tmp_path)
    check.project.process(tmp_path, 3)
    assert check.project.lock(tmp_path) == before
    check.project.forget(tmp_path)
    check.project.process(tmp_path, 3)
    assert check.project.lock(tmp_path) == before


def test_checks_and_mappings_that_differ_are_not_compared(module, monkeypatch):
    """A check that misses an id, or a mapping that takes one id for another on the way, is no figure."""
    check = module("dataset_check")
    one, other = (True, [0, 7], "a", "b"), (True, [7], "a", "b")
    check.check_equal([one], {"loop": [one]})
    with pytest.raises(SystemExit, match="loop and ours find other"):
        check.check_equal([one], {"loop": [other], "pool": [one]})
    raw = check.np.arange(256, dtype=check.np.uint8).reshape(16, 16)
    check.check_mappings([raw, raw[:, ::-1], raw[3:9, 2:5]])

    def in_place(raw, table):
        out = raw.copy()
        for old in check.cityscapes.SCORED:
            out[out == old] = table[old]  # 8, sidewalk, becomes 1; 11, building, becomes 2; 7 became 0 before
        return check.np.where(raw == 33, 0, out)

    monkeypatch.setitem(check.arms.MAPPINGS, "in place", in_place)
    with pytest.raises(SystemExit, match="in place and sequential map to other classes"):
        check.check_mappings([raw])


def test_mapping_figures_are_ratios_per_round(module):
    """By hand: 10 and 12 ms beside 2 and 3 ms are 5 × and 4 ×; the sequential one alone bears a bound."""
    figures = {f.name: f for f in module("dataset_check").map_figures({"ours": [2, 3], "sequential": [10, 12]})}
    assert figures["map_sequential"].rounds == [5, 4] and figures["map_sequential"].least == 5
    assert [name for name, figure in figures.items() if figure.bound] == ["map_sequential"]
    assert figures["ms_map_ours"].rounds == [2000, 3000]


def test_what_is_fast_lists_and_maps_as_the_plain_way_does(tmp_path):
    """Links, hidden files and folders, names that sort otherwise as text than part by part; a mapped view is a copy."""
    for folder in ("a", "a-b", ".hidden", "z z"):
        (tmp_path / folder / "dir.png").mkdir(parents=True)
        for name in ("1.png", ".2.png", "1.PNG", "x_1.png", "1-b.png"):
            (tmp_path / folder / name).touch()
        (tmp_path / folder / "broken.png").symlink_to("nowhere")
        (tmp_path / folder / "circle.png").symlink_to("circle.png")
        (tmp_path / folder / "link.png").symlink_to("1.png")
    (tmp_path / "linked").symlink_to("a")
    for pattern in ("*.png", "*/*.png", "*/x_[0-9].png", "a/*.png", "**/*.png", "*/1.png/*"):
        globbed = sorted(p for p in tmp_path.glob(pattern) if p.is_file() and not p.name.startswith("."))
        assert found(tmp_path, pattern) == globbed, pattern
    paths = [*sorted(tmp_path.glob("*/*")), tmp_path / "none/1.png", tmp_path / "a/none.png"]
    assert list(missing(paths)) == [path for path in paths if not path.is_file()]
    table = np.random.default_rng(0).integers(0, 256, 256, dtype=np.uint8)
    raw = np.random.default_rng(1).integers(0, 256, (20, 30), dtype=np.uint8)
    for view in (raw, raw.T, raw[3:9, ::-2], raw[:0]):
        mapped = map_ids(view, table)
        assert np.array_equal(mapped, table[view]) and mapped.dtype == np.uint8 and mapped.flags.writeable


def test_picture_of_led_attention(module):
    """What places receive is 1 on average; without a lead nothing changes, with one the needy get more."""
    figure = module("tmt_figure")
    host = build_segmenter("daformer", segmenter_settings("daformer"), CLASSES, seed=0).eval()
    settings = Tmt(acte={"width": 16, "hidden": 16})
    torch.manual_seed(0)
    guide = ADAPTATIONS["tmt"].load()(settings, host.describe()).guide
    image = np.random.default_rng(0).integers(0, 255, (100, 130, 3), dtype=np.uint8)
    plain = figure.look(host, guide, image)
    assert plain.image.shape == (96, 128, 3) and len(plain.maps) == len(figure.COLUMNS) - 1
    assert [m.shape for m in plain.maps] == [(6, 8)] * 3 + [(3, 4)] * 3
    assert all(plain.maps[n].mean() == pytest.approx(1, abs=1e-5) for n in (3, 4, 5))
    assert np.array_equal(plain.maps[3], plain.maps[4])
    for gamma in guide.attention.gammas.values():
        torch.nn.init.constant_(gamma, 2.0)
    led = figure.look(host, guide, image)
    need = torch.nn.functional.interpolate(torch.from_numpy(led.maps[2])[None, None], (3, 4), mode="area")[0, 0]
    assert np.corrcoef(need.flatten(), np.log(led.maps[5]).flatten())[0, 1] > 0.8
