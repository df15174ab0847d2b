"""A person's browser: the system's Chromium, headless, and what is wrong with a page in it.

It is looked for on PATH, or where TESTS_CHROMIUM says. Screenshots go to a temporary folder, or to
TESTS_PICTURES, to be looked at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, sync_playwright
from servers import unavailable

Screen = Literal["phone", "desktop"]
Scheme = Literal["light", "dark"]

SCREENS: dict[Screen, tuple[int, int]] = {"phone": (390, 844), "desktop": (1440, 900)}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PAPER = (794, 688)
"""A4 in CSS pixels: across, and between the margins."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE_OPTIONS = {"resultTypes": ["violations"]}


@dataclass
class Visit:
    """A page that is open, and what it complained of so far."""

    page: Page
    pictures: Path
    complaints: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Note errors in the console, requests, and those that failed."""
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.loaded.append(request.url))
        self.page.on(
            "requestfailed",
            lambda request: self.complaints.append(f"{request.failure}: {request.url}"),
        )
        self.page.on(
            "response",
            lambda answer: (
                self.complaints.append(f"{answer.status}: {answer.url}")
                if answer.status >= 400
                else None
            ),
        )

    def picture(self, name: str, *, whole: bool = True) -> Path:
        """Take a screenshot of the page to its end, or of what fits the screen."""
        path = self.pictures / f"{name}.png"
        self.page.screenshot(path=path, full_page=whole)
        return path

    def barriers(self) -> list[str]:
        """Say what axe-core finds: a line for each rule that is broken, with the first places."""
        found = Axe().run(self.page, options=AXE_OPTIONS).response["violations"]
        return [
            f"{rule['id']} ({rule['impact']}): {rule['help']}: "
            + "; ".join(f"{node['target']} {node['html'][:120]}" for node in rule["nodes"][:3])
            for rule in found
        ]

    def sticks_out_of_paper(self) -> list[str]:
        """Name the elements that are wider than an A4 page between its margins.

        For each of them the whole print is made smaller.
        """
        across, between = PAPER
        self.page.set_viewport_size({"width": across, "height": 1123})
        self.page.emulate_media(media="print")
        self.page.add_style_tag(content=f"body {{ width: {between}px !important; }}")
        return self.page.evaluate(
            """between => [...document.querySelectorAll('body *')]
                .filter(e => e.getBoundingClientRect().right > between + 1)
                .slice(0, 5).map(e => 'on paper: ' + e.outerHTML.slice(0, 120))""",
            between,
        )

    def sticks_out(self) -> list[str]:
        """Name the elements that are wider than the screen, if the page can be moved sideways."""
        return self.page.evaluate(
            """() => document.documentElement.scrollWidth <= window.innerWidth ? [] :
              [...document.querySelectorAll('body *')]
                .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
                .slice(0, 5).map(e => e.outerHTML.slice(0, 120))"""
        )


@dataclass(frozen=True)
class Browser:
    """Chromium, opened once for the tests of a file."""

    chromium: Chromium
    pictures: Path

    @contextmanager
    def visit(
        self,
        address: str | Path,
        screen: Screen = "desktop",
        scheme: Scheme = "light",
        *,
        offline: bool = False,
    ) -> Iterator[Visit]:
        """Open an address or a file, as on that screen, by somebody who prefers light or dark."""
        width, height = SCREENS[screen]
        context = self.chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=offline
        )
        visit = Visit(context.new_page(), self.pictures)
        visit.listen()
        try:
            visit.page.goto(address.as_uri() if isinstance(address, Path) else address)
            yield visit
        finally:
            context.close()

    def review(self, file: Path, name: str) -> None:
        """Look at a page that somebody keeps as a file: on each screen, light and dark, offline.

        It must load nothing, complain of nothing, fit the screen and the paper, and break no rule
        of axe-core.
        """
        wrong = []
        for screen in SCREENS:
            for scheme in SCHEMES:
                with self.visit(file, screen, scheme, offline=True) as visit:
                    visit.picture(f"{name}-{screen}-{scheme}")
                    asked = [url for url in visit.loaded if url != file.as_uri()]
                    found = [f"loads {url}" for url in asked if not url.startswith("data:")]
                    found += visit.complaints + visit.sticks_out() + visit.barriers()
                    if (screen, scheme) == ("desktop", "light"):
                        found += visit.sticks_out_of_paper()
                    wrong += [f"{name}, {screen}, {scheme}: {line}" for line in found]
        assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Open Chromium for a file's tests: no longer, for Playwright runs an event loop meanwhile."""
    found = os.environ.get("TESTS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        unavailable("Chromium", FileNotFoundError("none of " + ", ".join(NAMES)))
    kept = os.environ.get("TESTS_PICTURES")
    pictures = Path(kept) if kept else tmp_path_factory.mktemp("pictures")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found)
        yield Browser(chromium, pictures)
        chromium.close()
