"""Boards in a browser, from their files alone: sorting, filtering, means, cards, keyboard, accessibility."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from test_board import cell, entered, record

from xdseg.reporting.about import About, Panel, Strips
from xdseg.reporting.board import build_board
from xdseg.reporting.front import front_html, read_board
from xdseg.reporting.statistics.bootstrap import Replicates
from xdseg.stages.front import front

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium"),
]

OWN = ("file://", "data:")
PATIENCE = 120_000  # ms that a step may take: machines that run tests are busy
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
CLASSES = ("road", "sky", "car")
PAIRS = ("a->b", "b->a", "c->a")
EVIL = "<img src=x onerror=alert(1)> & 'co'"
# IoU of road, sky and car on each pair; gamma lacks the last one
SCORES = {
    "alpha": [(0.9, 0.5, 0.1), (0.8, 0.6, 0.4), (0.6, 0.3, 0.0)],
    "beta": [(0.6, 0.6, 0.6), (0.5, 0.4, 0.3), (0.3, 0.3, 0.3)],
    "gamma": [(0.3, 0.3, 0.9), (0.2, 0.2, 0.8), None],
    EVIL: [(0.1, 0.1, 0.1)] * 3,
}
SETTINGS = {"alpha": "uda", "beta": "source", "gamma": "uda", EVIL: "source"}
MINUTES = {"alpha": 2, "beta": 1, "gamma": 0.5}
SPREAD = np.linspace(-0.01, 0.01, 2001, dtype=np.float32)
DRAWN = {"alpha": 0.5 + SPREAD, "beta": 0.6 + SPREAD}  # replicates on a->b: beta's, of mIoU 60, are always 10 above
KINDS = {"alpha": "eomt", "beta": "segformer", "gamma": "eomt"}


def made(method: str, pair: str, iou: tuple[float, ...]) -> dict:
    """A record with these IoU; alpha's is of a dirty checkout, gamma's of another device."""
    one = (entered if method == EVIL else record)(method, pair, 0.5)
    named = dict(zip(CLASSES, iou, strict=True))
    scores = {"miou": sum(iou) / len(iou), "iou": named, "kept": list(CLASSES), "confusion": [[1] * 3] * 3}
    one |= {"classes": list(CLASSES), "setting": SETTINGS[method], "scores": one["scores"] | scores}
    if method == EVIL:
        return one
    device = "a faster one" if method == "gamma" else "cpu"
    changes = {"device": device, "dirty": method == "alpha"}
    settings = {"segmenter": {"kind": KINDS[method], "version": 1}, "adaptations": []}
    costs = one["costs"] | {"train_seconds": 60.0 * MINUTES[method]}
    return one | {"environment": one["environment"] | changes, "settings": settings, "costs": costs}


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    """reports/ with the page of boards and one board: four methods, three pairs, three classes, panels."""
    folder = tmp_path_factory.mktemp("reports")
    records = [
        made(method, pair, iou)
        for method, known in SCORES.items()
        for pair, iou in zip(PAIRS, known, strict=True)
        if iou
    ]
    expected = [cell(method, pair, setting=SETTINGS[method]) for method in MINUTES for pair in PAIRS]
    strip = folder / "strip.png"
    Image.new("P", (24, 8)).save(strip)
    panels = {("alpha", "a", "b", 0): Panel(strip, ("x", "y", "z"), (8, 8, 8))}
    about = About(peers={"alpha": {"host": "beta"}}, may_show=True, panels=panels, strips={"b": Strips(strip, strip)})
    drawn = {(m, "a", "b", 0): Replicates(30, "images", 30, "b", values) for m, values in DRAWN.items()}
    named = {"suite": "vessels", "classes": CLASSES, "about": about, "drawn": drawn}
    build_board(expected=expected, records=records, out=folder / "board", **named)
    assert front(folder) and not front(folder), "a second time nothing changes"
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """One Chromium for all tests."""
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, reports):
    """Opens a file of the reports; by the end there was no error, no dialog and no request but for files."""
    faults, contexts = [], []

    def opened(name: str | Path = "board/index.html", *, viewport: dict = DESK, scheme: str = "light"):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request", lambda asked: None if asked.url.startswith(("file://", "data:")) else faults.append(asked.url)
        )
        page.goto(f"file://{reports / name}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def table(page, *names: str) -> list[list[str]]:
    """Texts of the shown rows of the table of methods, in their order: method, then the columns of these classes."""
    script = """names => [...document.querySelectorAll('#methods tbody tr:not([hidden])')].map((row) =>
        ['th a', ...names.map((name) => '.' + name)].map((cell) => row.querySelector(cell).innerText.trim()))"""
    return page.evaluate(script, list(names))


def names(page) -> list[str]:
    return [row[0] for row in table(page)]


def said(page) -> str:
    return page.locator("#said").inner_text()


def test_rows_are_sorted_by_a_columns_name_and_those_without_a_value_stay_last(visit):
    """Mean: 46.67, 43.33, 10.00, and gamma has none; a column says how it is sorted."""
    page = visit()
    assert table(page, "rank", "mean") == [["alpha", "=1\n[1–3]", "46.67"], ["beta", "=2\n[1–3]", "43.33"],
                                           [EVIL, "=3\n[1–3]", "10.00"], ["gamma", "–", "no mean"]]  # fmt: skip
    heading = page.locator("#methods thead th").filter(has_text="mIoU")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert names(page) == [EVIL, "beta", "alpha", "gamma"]
    page.locator("#methods thead button").filter(has_text="method").press("Enter")
    assert heading.get_attribute("aria-sort") is None
    assert names(page) == [EVIL, "alpha", "beta", "gamma"]


def test_filters_and_search_show_the_same_rows_everywhere(visit):
    """Rows, tiles, classes, costs and what a method is; ranks are among the shown; a reset brings all back."""
    page = visit()
    page.locator("#search").fill("bet")
    assert table(page, "rank") == [["beta", "1"]] and said(page).startswith("1 of 4 methods shown")
    for part in ("#map tbody tr", "#costs tbody tr", "#what article", ".class:first-child li", "#pareto .point"):
        assert page.locator(f"{part}:visible").count() == 1, part
    page.locator("#search").fill("")
    page.locator('[data-facet="setting"]').select_option("uda")
    assert names(page) == ["alpha", "gamma"]
    page.locator('[data-facet="kind"]').select_option("segformer")
    assert names(page) == []
    page.locator("#controls [type=reset]").click()
    playwright.expect(page.locator("#said")).to_contain_text("4 of 4 methods shown", timeout=PATIENCE)
    page.locator('[data-facet="origin"]').select_option("entered from predictions")
    assert names(page) == [EVIL]


def test_means_are_over_the_chosen_cells_the_same_for_all_rows(visit):
    """By hand. Without c->a: alpha (50 + 60) / 2, beta (60 + 40) / 2, gamma (50 + 40) / 2; gain (-10 + 20) / 2.

    Of road and sky alone, all pairs: alpha (70 + 70 + 45) / 3, and gamma, which lacks c->a, has no mean.
    """
    page = visit()
    whole = table(page, "rank", "mean", "gain", "better", "scored")
    page.locator("#choose summary").click()
    page.locator("#pairs label").filter(has_text="c → a").click()
    assert table(page, "rank", "mean", "gain", "scored") == [
        ["alpha", "1", "55.00", "+5.00 over beta", "2/2"],
        ["beta", "2", "50.00", "–", "2/2"],
        ["gamma", "3", "45.00", "–", "2/2"],
        [EVIL, "4", "10.00", "–", "2/2"],
    ]
    assert "means over 2 of 3 pairs and all 3 classes" in said(page)
    assert page.locator(".brackets").is_hidden(), "what tests leave open is of the whole board"
    page.locator("#classes label").filter(has_text="car").click()
    assert table(page, "mean") == [["alpha", "70.00"], ["beta", "52.50"], ["gamma", "25.00"], [EVIL, "10.00"]]
    page.locator("#pairs [data-check=all]").click()
    assert table(page, "rank", "mean") == [["alpha", "1", "61.67"], ["beta", "2", "45.00"], [EVIL, "3", "10.00"],
                                           ["gamma", "–", "no mean"]]  # fmt: skip
    assert "1 lack a cell there and have no mean" in said(page)
    page.locator("#pairs [data-check=shared]").click()
    assert page.locator("#pairs input:checked").count() == 2
    page.locator("#pairs [data-check=none]").click()
    assert {row[1] for row in table(page, "mean")} == {"no mean"}
    page.locator("#pairs [data-check=all]").click()
    page.locator("#classes [data-check=all]").click()
    assert table(page, "rank", "mean", "gain", "better", "scored") == whole and page.locator(".brackets").is_visible()
    page.locator("#search").fill("alpha")
    assert table(page, "rank") == [["alpha", "1"]], "a rank among the shown has no interval"
    page.locator("#search").fill("gam")
    assert table(page, "rank") == [["gamma", "–"]]


def test_a_ceiling_has_no_rank_whatever_is_chosen(browser, tmp_path):
    """Best on every pair, and no competitor; seeds are counted on the chosen pairs, 1–2 on both, 2 on the first."""
    known = {("best", "oracle"): 0.9, ("good", "uda"): 0.7, ("poor", "source"): 0.3}
    keys = [(name, pair, seed, setting) for name, setting in known for pair, seeds in (("a->b", (0, 1)), ("b->a", (0,)))
            for seed in seeds]  # fmt: skip
    records = [
        record(name, pair, known[name, setting], seed=seed, setting=setting) for name, pair, seed, setting in keys
    ]
    expected = [cell(*key) for key in keys]
    build_board(suite="vessels", classes=("background", "vessel"), expected=expected, records=records, out=tmp_path)
    page = browser.new_page()
    page.goto(f"file://{tmp_path}/index.html")
    assert table(page, "rank", "seeds") == [["best", "–", "1–2"], ["good", "=1\n[1–2]", "1–2"],
                                            ["poor", "=2\n[1–2]", "1–2"]]  # fmt: skip
    page.locator("#choose summary").click()
    page.locator("#pairs label").filter(has_text="b → a").click()
    assert table(page, "rank", "seeds") == [["best", "–", "2"], ["good", "1", "2"], ["poor", "2", "2"]]
    page.close()


def test_classes_are_of_the_chosen_pairs_or_of_one(visit):
    """Road: alpha (90 + 80 + 60) / 3; gamma has none, as it lacks a pair, but has 30 on a->b."""
    page = visit()
    road = page.locator(".class").filter(has=page.get_by_role("heading", name="road")).locator("li")
    assert road.all_inner_texts()[0].split() == ["alpha", "76.67"]
    assert {line.split()[0]: line.split()[-1] for line in road.all_inner_texts()}["gamma"] == "–"
    page.locator("#pair").select_option(label="a → b")
    shown = {line.split()[0]: line.split()[-1] for line in road.all_inner_texts()}
    assert shown["alpha"] == "90.00" and shown["gamma"] == "30.00"


def test_the_line_of_costs_leaves_other_devices_out(visit):
    """On two pairs gamma has a mean, but ran elsewhere: a triangle off the line. Alpha and beta are on it."""
    page = visit()
    page.locator("#choose summary").click()
    page.locator("#pairs label").filter(has_text="c → a").click()
    assert page.locator("#pareto .point").count() == 3 and page.locator("#pareto .other").count() == 1
    told = page.locator("#frontier").inner_text()
    assert "beta (50.00 % at 1), alpha (55.00 % at 2)." in told and "Triangles ran on another device" in told
    page.locator("#cost").select_option("parameters")
    assert page.locator("#pareto .other").count() == 0, "parameters do not depend on the device"
    assert "alpha (55.00 % at 12,300,000)." in page.locator("#frontier").inner_text()


def test_an_axis_has_marks_whatever_its_ends(visit):
    """Also where no 1, 2 or 5 of a power of ten lies between them: from 3.44 / 1.2 to 3.94 * 1.2."""
    page = visit()
    assert page.evaluate("ticks(2.87, 4.73)") == [3, 3.5, 4, 4.5]
    for low, high in ((1, 1.44), (0.0083, 0.0121), (0.5, 14), (1e6, 1.5e6), (5.1e7, 9.9e7), (1, 1e7)):
        found = page.evaluate("ends => ticks(...ends)", [low, high])
        assert len(found) >= 3 and low <= min(found) and max(found) <= high, (low, high)


BOXES = """() => [...document.querySelectorAll('#pareto .name')].map((name) => {
    const box = name.getBoundingClientRect();
    return [name.textContent, box.left, box.right, box.top, box.bottom];
})"""


def test_points_are_named_and_a_phone_shows_them_all(visit):
    """Names meet neither each other nor the edge; a tap or an arrow key tells one point."""
    page = visit(viewport=PHONE)
    page.locator("#choose summary").click()
    page.locator("#pairs label").filter(has_text="c → a").click()
    chart = page.locator("#pareto")
    boxes = page.evaluate(BOXES)
    assert {name for name, *_ in boxes} == {"alpha", "beta", "gamma"}
    assert all(left >= 0 and right <= PHONE["width"] for _, left, right, _, _ in boxes)
    for at, (_, left, right, top, bottom) in enumerate(boxes):
        assert not any(left < r and x < right and top < b and t < bottom for _, x, r, t, b in boxes[at + 1 :])
    assert chart.evaluate("chart => chart.scrollWidth <= chart.clientWidth"), "nothing lies beyond a sideways scroll"
    chart.locator(".other").click()
    assert page.locator("#pointed").inner_text() == "gamma: 45.00 % at 0.5, on another device: a faster one"
    chart.press("ArrowRight")
    assert page.locator("#pointed").inner_text() == "beta: 50.00 % at 1"
    assert chart.locator(".pointed title").text_content() == "beta: 50.00 % at 1"


def test_the_map_stands_by_what_it_shows(visit):
    """On a->b beta has the best mIoU, alpha alone a gain; a reader of the screen hears both."""
    page = visit()
    first = page.locator("#map tbody tr:not([hidden]) th").first
    page.locator("#map thead button[aria-label='sort by a → b']").click()
    assert first.inner_text() == "beta"
    page.locator("[data-show=g]").click()
    assert first.inner_text() == "alpha"
    page.locator("[data-show=m]").click()
    assert first.inner_text() == "beta"
    labels = [page.locator(f"[data-card='{name}/a--b']").get_attribute("aria-label") for name in ("alpha", "beta")]
    assert labels == ["alpha, a → b: 50.00, gain −10.0", "beta, a → b: 60.00"]


def test_an_address_that_is_none_opens_nothing(visit):
    """Cut off within a letter: no error, no card."""
    page = visit("board/index.html#card=%E0%A4%A")
    assert names(page) and not page.locator("#card").is_visible()


def test_paper_is_white_whatever_the_theme(visit):
    """The dark theme, chosen by hand, is the screen's."""
    page = visit(scheme="light")
    ink = "getComputedStyle(document.body).color"
    light = page.evaluate(ink)
    page.locator("#theme").click()
    assert page.evaluate(ink) != light
    page.emulate_media(media="print")
    assert page.evaluate(ink) == light


def test_rows_that_were_made_otherwise_are_marked_and_the_legend_says_why(visit):
    """gamma: device; alpha: not committed; an entered row has its badge alone."""
    page = visit()
    rows = {name: row for name, row in zip(names(page), page.locator("#methods tbody tr").all(), strict=True)}
    marks = {name: [text.strip()[0] for text in row.locator(".mark").all_inner_texts()]
             for name, row in rows.items()}  # fmt: skip
    assert marks == {"alpha": ["C"], "beta": [], EVIL: [], "gamma": ["D"]}
    legend = page.locator(".marks li").all_inner_texts()
    assert [text.split()[0] for text in legend] == ["D", "C"] and "(cpu)" in legend[0]


def test_a_card_is_reached_and_left_by_keys_alone(visit):
    """Tab comes to one number of the map, arrows to its neighbours; Enter opens, Escape closes."""
    page = visit()
    focused = "document.activeElement.dataset?.card ?? ''"
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(focused):
            break
    assert page.evaluate(focused) == "alpha/b--a", "columns stand by target"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    assert page.evaluate(focused) == "beta/a--b"
    page.keyboard.press("Enter")
    card = page.locator("#card")
    assert card.is_visible() and "a → b" in card.inner_text() and "60.00" in card.inner_text()
    assert "c3" * 32 in card.text_content() and "#card=beta" in page.url
    page.keyboard.press("Escape")
    assert not card.is_visible() and page.evaluate(focused) == "beta/a--b"
    page.keyboard.press("Tab")
    assert not page.evaluate(focused), "the map is one stop"


def test_a_card_has_its_intervals_over_images(visit):
    """On top the paired gain, then the seed's own, and that neither is of seeds; a card without says nothing."""
    card = visit("board/index.html#card=alpha%2Fa--b").locator("#card-body")
    text = " ".join(card.inner_text().split())
    assert text.startswith("Over beta gain on this pair −10.00 (seed 0) 95 % over images −10.00 to −10.00")
    assert "mIoU 50.00 95 % over images 49.0" in text and " to 50.9" in text and "not of seeds" in text
    other = visit("board/index.html#card=gamma%2Fa--b").locator("#card-body").inner_text()
    assert "over images" not in other and "Test set" not in other


def test_names_are_text_wherever_they_are_shown(visit):
    """Markup in a method's name, in the chart, the classes and its card: no element is made of it."""
    page = visit()
    page.locator("#map tbody tr").filter(has_text="<img").locator("button").first.click()
    assert EVIL in page.locator("#card-kind").inner_text()
    assert page.locator("img[src=x]").count() == 0


def test_panels_are_shown(visit):
    """An image from the page itself."""
    page = visit()
    image = page.locator("#panels img").first
    image.scroll_into_view_if_needed()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 24


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_keeps_readers_out(visit, scheme, viewport):
    """axe finds nothing serious, in both themes and on a phone: the page with all open, and a card."""
    page = visit(viewport=viewport, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "only tables scroll sideways"
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert serious(page) == []
    page.locator("#map tbody button").first.click()
    assert serious(page) == []


def test_nothing_serious_keeps_readers_out_of_a_committed_page(visit):
    """A real board of 20 pairs, with curves and a map of upright names."""
    page = visit(ROOT / "reports/vessels/index.html")
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert serious(page) == []


def serious(page) -> list[str]:
    """What axe finds of weight, with the first place of each."""
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
    ]


def test_a_phone_shows_method_and_mean_beside_each_other(visit):
    """Without scrolling sideways."""
    page = visit(viewport=PHONE)
    box = page.locator("#methods tbody .mean").first.bounding_box()
    assert box["x"] + box["width"] <= PHONE["width"]


def test_the_theme_can_be_chosen(visit):
    """As the system says, until chosen otherwise."""
    page = visit(scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.locator("#theme").click()
    light = page.evaluate(background)
    page.locator("#theme").click()
    assert light != dark and page.evaluate(background) == dark


def test_the_page_of_boards_leads_to_each(visit):
    """Its table is sorted and searched; a name opens the board, which leads back."""
    page = visit("index.html", viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and serious(page) == []
    rows = page.locator("#everywhere tbody tr:visible th")
    page.locator("#everywhere thead button").filter(has_text="board").click()
    assert rows.all_inner_texts() == ["alpha", "beta", EVIL, "gamma"]
    page.locator("#search").fill("a a")
    assert rows.all_inner_texts() == ["alpha", "beta", EVIL, "gamma"]
    page.locator("#search").fill("gam")
    assert rows.all_inner_texts() == ["gamma"] and said(page) == "1 of 4 methods"
    page.get_by_role("link", name="board", exact=True).click()
    assert page.locator("h1").inner_text() == "vessels"
    page.get_by_role("link", name="all boards").click()
    assert page.locator("h1").inner_text() == "Boards"


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_cards_of_real_boards_fit(visit, tmp_path, viewport):
    """No number of a card lies beyond its edge; a desk shows every board's column of the table of methods."""
    boards = [read_board(path.parent) for path in sorted((ROOT / "reports").glob("*/leaderboard.json"))]
    (tmp_path / "index.html").write_text(front_html(boards))
    page = visit(tmp_path / "index.html", viewport=viewport)
    fits = "place => place.scrollWidth <= place.clientWidth"
    assert all(part.evaluate(fits) for part in page.locator(".board .scroll").all())
    assert viewport is PHONE or page.locator("#everywhere .scroll").evaluate(fits)
