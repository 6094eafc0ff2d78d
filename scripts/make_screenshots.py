"""Take pictures of every page of the web service, from a run that was really made.

`python scripts/make_screenshots.py outputs/first` copies the run, serves the copy, opens each page
in a chromium, and writes docs/img/NAME.png: `--also dark`, `--also phone` add NAME-dark.png,
NAME-phone.png. Needs playwright and a chromium that the machine brings.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from selfinstruct.web.app import create_app
from selfinstruct.web.security import access_for

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
WIDE, PHONE = {"width": 1180, "height": 820}, {"width": 390, "height": 800}
MODES = {
    "": {"viewport": WIDE, "color_scheme": "light"},
    "-dark": {"viewport": WIDE, "color_scheme": "dark"},
    "-phone": {"viewport": PHONE, "color_scheme": "light"},
}


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve a folder of runs on a free port; yield the address."""
    config = uvicorn.Config(
        create_app(root, access_for("127.0.0.1", None)), port=0, log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def addresses(page: Page, base: str, name: str) -> dict[str, str]:
    """Return the address of each page; draws a sample, and saves a what-if for a job to show."""
    run = f"{base}/runs/{name}"
    page.goto(f"{run}/candidates?reason=not_novel&sort=rouge_l&max_rouge=0.9&descending=true")
    candidate = page.locator("td.text a").first.get_attribute("href") or ""
    page.goto(f"{run}/rate")
    if page.get_by_role("button", name="Draw a sample").count():
        page.get_by_role("button", name="Draw a sample").click()
    page.goto(f"{run}/what-if?rouge=0.6")
    page.get_by_role("button", name="Save").click()
    job = page.url
    page.get_by_text("done", exact=True).wait_for(timeout=120_000)
    return {
        "runs": base,
        "run": run,
        "candidates": f"{run}/candidates?verdict=rejected",
        "candidate": f"{base}{candidate}",
        "rate": f"{run}/rate?rater=anna",
        "what-if": f"{run}/what-if?rouge=0.6",
        "new": f"{base}/new",
        "jobs": f"{base}/jobs",
        "job": job,
        "api": f"{base}/api/v1/docs",
    }


def shoot(browser: Browser, pages: dict[str, str], out: Path, mode: str, *, whole: bool) -> None:
    """Take one picture of each page."""
    context = browser.new_context(**MODES[mode])  # type: ignore[arg-type]
    page = context.new_page()
    for name, address in pages.items():
        page.goto(address)
        if page.locator("#charts").count():
            page.locator(".plotly").first.wait_for(timeout=60_000)
            page.wait_for_timeout(600)
        page.screenshot(path=out / f"{name}{mode}.png", full_page=whole)
        if name == "run":  # too long for one picture
            page.locator("#charts").screenshot(path=out / f"charts{mode}.png")
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument("--also", action="append", default=[], choices=["dark", "phone"])
    parser.add_argument("--whole", action="store_true", help="pages in their whole length")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("no chromium on this machine; install one (Debian: apt-get install chromium)")
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(given.run, root / given.run.name)
        with served(root) as base, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            pages = addresses(browser.new_page(), base, given.run.name)
            print(f"pictures of {len(pages)} pages go to {given.out}")
            for mode in ("", *(f"-{one}" for one in given.also)):
                shoot(browser, pages, given.out, mode, whole=given.whole)
            browser.close()


if __name__ == "__main__":
    main()
