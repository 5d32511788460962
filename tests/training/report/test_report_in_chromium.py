"""The page in a real browser: Chromium without a window, driven through its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pytest
from matplotlib import image

from ev_qa_framework.report import ModelReport, report_on
from ev_qa_framework.report.report_html import write_html

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
DEADLINE_S = 60.0

START = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for taken, number in zip(ours, (3, 4)):
    os.dup2(taken, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium's debugging pipe is its descriptors 3 and 4."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


class ChromiumPage:
    """A page that is opened, measured and photographed. ``complaints``: console, log and script errors;
    ``requests``: the addresses of everything that was asked for."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self._browser = subprocess.Popen(
            [sys.executable, "-c", START, str(to_browser), str(from_browser), CHROMIUM, "--headless=new",
             "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
             "--disable-background-networking", "--no-first-run", "--hide-scrollbars",
             f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False

    def __enter__(self) -> Self:
        try:
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._call(f"{domain}.enable")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._browser.terminate()
        try:
            self._browser.wait(10)
        except subprocess.TimeoutExpired:
            self._browser.kill()
            self._browser.wait()
        os.close(self._in)
        os.close(self._out)

    def open(self, file: Path, width: int, *, dark: bool = False) -> None:
        """Load a local file in a window of ``width`` pixels and wait until it is there."""
        self.complaints.clear()
        self.requests.clear()
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self._call("Page.navigate", url=file.resolve().as_uri())
        until = time.monotonic() + DEADLINE_S
        while not self._loaded:
            self._take(until)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, asked by us: the page itself has no scripts."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def screenshot(self, file: Path) -> None:
        """Write the whole page as a PNG."""
        height = self.evaluate("document.documentElement.scrollHeight")
        width = self.evaluate("window.innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 16_000), "scale": 1}
        taken = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(taken["data"]))

    def printed(self, file: Path) -> None:
        """Write the page as it is printed, a PDF."""
        file.write_bytes(base64.b64decode(self._call("Page.printToPDF", printBackground=False)["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + DEADLINE_S
        while True:
            answer = self._take(until)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _take(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(until - time.monotonic(), 0.0))
            assert ready, "Chromium does not answer"
            more = os.read(self._in, 1 << 20)
            assert more, "Chromium has ended"
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, parameters: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(parameters)[:500])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromiumPage]:
    with ChromiumPage(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def pages(
    found: ModelReport, of_fleet: ModelReport, saved_once: Path, faulty: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:  # fmt: skip
    """A page of every kind on disk."""
    folder = tmp_path_factory.mktemp("pages")
    reports = {"one": found, "fleet": of_fleet, "rows": report_on(saved_once, faulty, "faulty.csv")}
    for name, report in reports.items():
        write_html(report, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in reports}


@pytest.mark.parametrize("width", [420, 1200])
@pytest.mark.parametrize("name", ["one", "fleet", "rows"])
def test_it_loads_quietly_and_fits(browser: ChromiumPage, pages: dict[str, Path], name: str, width: int) -> None:
    browser.open(pages[name], width)
    assert browser.complaints == []
    assert browser.requests == [pages[name].resolve().as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    beyond = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    assert browser.evaluate(f"{beyond}.map(e => e.tagName + ' ' + e.textContent.slice(0, 60))") == []


def test_a_phone_gets_a_picture_of_its_own(browser: ChromiumPage, pages: dict[str, Path]) -> None:
    shown = (
        "['wide', 'narrow'].map(name => document.querySelector('.' + name + ' svg').getBoundingClientRect().width > 0)"
    )
    browser.open(pages["one"], 1200)
    assert browser.evaluate(shown) == [True, False]
    browser.open(pages["one"], 420)
    assert browser.evaluate(shown) == [False, True]
    smallest = "Math.min(...[...document.querySelectorAll('.narrow text')].map(e => e.getBoundingClientRect().height))"
    assert browser.evaluate(smallest) >= 8


def test_text_can_be_read_light_and_dark(browser: ChromiumPage, pages: dict[str, Path]) -> None:
    """Contrast of text on its ground, WCAG 2 AA: 4.5 and more."""
    for dark in (False, True):
        browser.open(pages["one"], 1200, dark=dark)
        for text, ground in (("--ink", "--paper"), ("--ink", "--card"), ("--faint", "--card")):
            assert contrast(colour(browser, text), colour(browser, ground)) >= 4.5, (dark, text, ground)


def test_the_screenshot_shows_the_page_and_it_prints(
    browser: ChromiumPage, pages: dict[str, Path], tmp_path: Path
) -> None:
    browser.open(pages["one"], 420)
    browser.screenshot(tmp_path / "phone.png")
    drawn = image.imread(tmp_path / "phone.png")
    assert drawn.shape[1] == 420
    assert len(set(map(tuple, drawn[:1500, ::7, :3].reshape(-1, 3).tolist()))) > 50  # not a blank page
    browser.printed(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def colour(browser: ChromiumPage, variable: str) -> tuple[float, ...]:
    text = browser.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{variable}').trim()")
    digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
    return tuple(int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2.2's contrast ratio of two sRGB colours."""

    def luminance(channels: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
