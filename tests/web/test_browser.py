"""The service in a real browser, as a person uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from selfinstruct.decisions.labels import read_labels
from selfinstruct.decisions.overrides import read_overrides
from selfinstruct.store import Run, open_run
from selfinstruct.web.security import access_for
from tests.conftest import make_seed
from tests.web.conftest import serving
from tests.web.script import HOSTILE, HOSTILE_OUTPUT, REPEATED

SECONDS = 60_000
# What a browser reports where a test has a form refused, or tries to break the policy.
EXPECTED = re.compile(r"status of 422|inline event handler violates")

expect.set_options(timeout=20_000)

PROBE = """() => new Promise(resolve => {
    document.addEventListener("securitypolicyviolation", () => resolve("blocked"), {once: true});
    document.body.insertAdjacentHTML("beforeend", "<i id=probe onclick='window.ran = 1'>x</i>");
    document.getElementById("probe").click();
    setTimeout(() => resolve(window.ran ? "ran" : "silent"), 1000);
})"""


@pytest.fixture
def base(root: Path, run: Run) -> Iterator[str]:
    with serving(root) as address:
        yield address


@pytest.fixture
def page(browser: Browser, base: str) -> Iterator[Page]:
    """A page that fails the test if a script fails in it, or a text in it runs as one.

    It depends on `base`, so it is closed before its server stops: pages load their state again.
    """
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert [one for one in wrong if not EXPECTED.search(one)] == []


def test_a_rejected_candidate_is_restored_completed_and_exported(
    page: Page, base: str, run: Run
) -> None:
    page.goto(base)
    page.get_by_role("link", name="first").click()
    expect(page.locator("#chart-rouge_l .plotly").first).to_be_visible()
    page.get_by_role("link", name="not_novel").first.click()
    expect(page).to_have_url(re.compile(r"reason=not_novel"))
    page.get_by_role("searchbox").fill("harbour at dawn")
    page.get_by_role("searchbox").press("Enter")
    expect(page).to_have_url(re.compile(r"text=harbour\+at\+dawn"))
    assert "min_rouge" not in page.url
    shared = page.url
    page.goto(base)
    page.goto(shared)  # a colleague opens the same view
    page.locator("td.text a").first.click()
    rejected = page.url

    neighbour = page.locator("#neighbour")
    expect(neighbour.locator("mark")).to_have_count(2 * 10)
    neighbour.get_by_role("link").click()
    expect(page.locator("#text")).to_have_text(REPEATED)
    expect(page.get_by_text("accepted").first).to_be_visible()
    assert page.url != rejected

    page.goto(rejected)
    page.get_by_label("your name").fill("anna")
    page.get_by_label("note").fill("another view of it")
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("pending_instances").first).to_be_visible()
    page.get_by_role("button", name="Complete pending").click()
    expect(page.get_by_text("done", exact=True)).to_be_visible(timeout=SECONDS)

    page.goto(rejected)
    expect(page.get_by_text("restore by anna")).to_be_visible()
    expect(page.get_by_text("Gulls wake").first).to_be_visible()
    page.goto(f"{base}/runs/first")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    lines = Path(download.value.path()).read_text().splitlines()
    asked = [json.loads(line)["messages"][0]["content"] for line in lines]
    assert asked.count(REPEATED) == 2

    page.goto(rejected)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    assert [one.action for one in read_overrides(run).entries] == ["restore", "undo"]


def test_a_candidate_is_edited(page: Page, base: str, run: Run) -> None:
    id = next(c.id for c in run.instructions(0) if c.reason == "not_novel")
    page.goto(f"{base}/runs/first/candidates/{id}")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("output").fill("Two lines,\ntyped by a person.")
    page.get_by_label("your name").fill("ben")
    page.get_by_role("button", name="Save the edit").click()
    expect(page.get_by_text("edit by ben")).to_be_visible()
    (entry,) = read_overrides(run).entries
    assert (entry.output, entry.text) == ("Two lines,\ntyped by a person.", None)
    # The name is remembered; what is wrong is said on the page.
    expect(page.get_by_label("your name")).to_have_value("ben")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_role("button", name="Save the edit").click()
    expect(page.get_by_role("alert")).to_be_visible()


def test_ten_candidates_are_rated_by_keyboard(page: Page, base: str, run: Run) -> None:
    page.goto(f"{base}/runs/first/rate")
    page.get_by_label("of each reason").fill("5")
    page.get_by_role("button", name="Draw a sample").click()
    page.get_by_label("your name").fill("anna")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    for number in range(10):
        expect(page.get_by_text(f"{number} of ")).to_be_visible()
        shown = page.locator("main").inner_text()
        assert not re.search(r"accepted|rejected|not_novel|ROUGE|nats", shown)
        page.keyboard.press("abcd"[number % 4])
    expect(page.get_by_text("10 of ")).to_be_visible()
    page.keyboard.press("u")
    expect(page.get_by_text("9 of ")).to_be_visible()
    text = page.locator("#text").inner_text()
    page.keyboard.press("s")
    expect(page.locator("#text")).not_to_have_text(text)
    ratings = list(read_labels(run).current.values())
    assert [str(one) for one in ratings] == ["A", "B", "C", "D", "A", "B", "C", "D", "A"]
    page.goto(f"{base}/runs/first")
    expect(page.get_by_text("sampled candidates rated by anna")).to_be_visible()


def test_a_run_is_started_from_the_form_and_watched(
    page: Page, base: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPT_SECONDS", "0.02")
    page.goto(base)
    page.get_by_role("link", name="New run").click()
    page.get_by_label("name", exact=True).fill("first")
    page.get_by_label("model").fill("tiny")
    page.get_by_label("target, tasks").fill("40")
    seeds = "\n".join(json.dumps(make_seed(number)) for number in range(12))
    page.get_by_label("seed tasks").fill(seeds)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("is taken")
    expect(page.get_by_label("seed tasks")).to_have_value(seeds)
    page.get_by_label("name", exact=True).fill("second")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("running").first).to_be_visible()
    # Nothing is reloaded from here on: the pages follow.
    page.get_by_role("link", name="Open the run").click(timeout=SECONDS)
    expect(page.get_by_role("link", name="generate")).to_be_visible()
    expect(page.get_by_text("40 of 40")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.locator("#chart-yields .plotly").first).to_be_visible()
    assert open_run(root / "second").status()["reason"] == "target"


def test_a_run_is_stopped_and_resumed(
    page: Page, base: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPT_SECONDS", "0.02")
    page.goto(f"{base}/runs/first")
    page.get_by_label("target").fill("400")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("stopped", exact=True)).to_be_visible(timeout=SECONDS)
    monkeypatch.setenv("SCRIPT_SECONDS", "0")
    page.goto(f"{base}/runs/first")
    page.get_by_label("target").fill("13")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("done", exact=True)).to_be_visible(timeout=SECONDS)


def test_thresholds_are_tried_and_saved(page: Page, base: str, root: Path) -> None:
    page.goto(f"{base}/runs/first/what-if")
    expect(page.get_by_text("Move a slider")).to_be_visible()
    slider = page.locator("[data-for=rouge]")
    slider.focus()
    slider.press("End")  # nothing is too near any more
    expect(page).to_have_url(re.compile("rouge=1"))
    expect(page.get_by_role("cell", name="pending_instances").first).to_be_visible()
    page.get_by_label("save as a new run").fill("all-novel")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("done", exact=True)).to_be_visible(timeout=SECONDS)
    assert open_run(root / "all-novel").meta["config"]["novelty"]["threshold"] == 1.0


def test_a_bar_leads_to_its_candidates(page: Page, base: str) -> None:
    page.goto(f"{base}/runs/first")
    bars = page.locator("#chart-instruction_logprob .bars .point path")
    expect(bars.first).to_be_attached()
    page.locator("#chart-instruction_logprob").scroll_into_view_if_needed()
    boxes = [bar.bounding_box() for bar in bars.all()]
    box = next(box for box in boxes if box and box["height"] > 5)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"table=instructions&min_logprob=.*&verdict="))
    expect(page.locator("td.text").first).to_be_visible()


def test_hostile_texts_are_shown_as_texts(page: Page, base: str, run: Run) -> None:
    hostile = next(c for c in run.instructions(0) if c.text == HOSTILE)
    page.goto(f"{base}/runs/first/candidates")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    page.goto(f"{base}/runs/first/candidates?table=instances")
    expect(page.get_by_text(HOSTILE_OUTPUT).first).to_be_visible()
    page.goto(f"{base}/runs/first/candidates/{hostile.id}")
    expect(page.locator("#text")).to_have_text(HOSTILE)
    for details in page.locator("details").all():
        details.locator("summary").first.click()
    page.goto(f"{base}/runs/first/candidates?text={HOSTILE}")
    assert page.locator("main img, main script, main b[onclick]").count() == 0
    # Were a text to get through, the browser would still run no script of it.
    assert page.evaluate(PROBE) == "blocked"


def test_the_one_time_address_lets_a_browser_in(page: Page, root: Path, run: Run) -> None:
    access = access_for("127.0.0.1", "a-token-of-some-length")
    key = access.login_key
    with serving(root, access) as base:
        page.goto(base)
        expect(page.get_by_label("token")).to_be_visible()
        page.goto(f"{base}/login?key={key}")
        expect(page.get_by_role("link", name="first")).to_be_visible()
        page.get_by_role("link", name="first").click()
        expect(page.locator("#chart-yields .plotly").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(browser: Browser, base: str, run: Run, scheme: str) -> None:
    id = run.instructions(0)[0].id
    context = browser.new_context(
        viewport={"width": 375, "height": 700}, color_scheme=scheme, has_touch=True
    )
    page = context.new_page()
    for tail in ("", "/candidates", f"/candidates/{id}", "/rate", "/what-if?rouge=0.5"):
        page.goto(f"{base}/runs/first{tail}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tail
    for address in ("", "/new", "/jobs", "/login", "/api/v1/docs"):
        page.goto(f"{base}{address}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 23, 26)") == (scheme == "dark")
    context.close()
