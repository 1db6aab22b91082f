"""The page in a real browser: what a person does, by mouse and by keyboard, and what is sent."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import which

import pytest
import uvicorn
from explored_plates import HARMFUL, explored, harmful

from morphoclip.explore.app import create_app
from morphoclip.explore.data import ExploreData

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = which("chromium") or which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
]


class Served:
    """The page at a free port of this machine, until it is closed."""

    def __init__(self, data: ExploreData) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = uvicorn.Config(
            create_app(data), host="127.0.0.1", port=self.port, log_level="error"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.02)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(explored())
    yield server
    server.close()


@pytest.fixture(scope="module")
def attacked() -> Iterator[Served]:
    server = Served(harmful())
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()


class Watched:
    """A tab whose errors and requests are kept."""

    def __init__(self, browser, width: int = 1280) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900})
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))

    def _said(self, message) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def check(self, served: Served) -> None:
        """No error, and no request to anywhere else."""
        assert not self.wrong
        elsewhere = [url for url in self.requested if not url.startswith((served.address, "data:"))]
        assert not elsewhere
        self.context.close()


@pytest.fixture(params=[1280, 800])
def tab(browser, request, served) -> Iterator[Watched]:
    watched = Watched(browser, request.param)
    yield watched
    watched.check(served)


def fits(page) -> bool:
    """Nothing makes the page wider than the window: tables scroll on their own."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_words_are_asked_and_answered_with_pictures(tab, served) -> None:
    page = tab.page
    page.goto(served.address)
    page.get_by_role("searchbox").fill("HDAC inhibitor")
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("heading", name="Most similar to text: HDAC inhibitor").wait_for()
    first = page.locator("table").first.locator("tr").nth(1)
    assert first.get_by_role("link").inner_text() in {"drug 0", "drug 1"}
    image = first.locator("img").first
    image.scroll_into_view_if_needed()
    page.wait_for_function(
        "image => image.complete && image.naturalWidth > 0", arg=image.element_handle()
    )
    assert fits(page)


def test_a_well_is_clicked_and_shows_five_channels(tab, served) -> None:
    page = tab.page
    page.goto(f"{served.address}/plate/compound0")
    assert fits(page)
    page.locator('svg a[data-well="A03"]').click()
    page.get_by_role("heading", name="compound0 A03").wait_for()
    row = page.locator("table.sites tr").nth(1)
    assert row.locator("img").count() == 6
    row.scroll_into_view_if_needed()
    page.wait_for_function(
        "images => images.every(one => one.complete && one.naturalWidth === 32)",
        arg=list(row.locator("img").element_handles()),
    )
    assert "control" in page.locator("table.sites tr.control").first.inner_text()
    assert fits(page)


def test_a_plate_is_recoloured_and_walked_by_keyboard(tab, served) -> None:
    page = tab.page
    page.goto(f"{served.address}/plate/compound0?by=nuclei")
    before = page.locator("svg.plate rect").first.get_attribute("fill")
    page.locator("select#by").select_option("Metadata_role")
    page.wait_for_url("**by=Metadata_role**")
    assert page.locator("svg.plate rect").first.get_attribute("fill") != before
    assert "negcon" in page.locator(".legend").inner_text()
    page.locator('svg a[data-well="A01"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    focused = page.evaluate("document.activeElement.dataset.well")
    assert focused == "A03"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="compound0 A03").wait_for()


def test_everything_is_reached_by_the_tab_key(tab, served) -> None:
    page = tab.page
    page.goto(f"{served.address}/?q=HDAC")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert {"to the content", "MorphoCLIP", "search", "map", "download"} <= set(reached)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus is seen"


def test_the_map_is_recoloured_and_a_lasso_lists_wells(tab, served, tmp_path) -> None:
    page = tab.page
    page.goto(f"{served.address}/map")
    page.locator("canvas[data-ready=yes]").wait_for()
    page.locator("select#by").select_option("mechanism")
    page.wait_for_url("**by=mechanism**")
    page.locator("canvas[data-ready=yes]").wait_for()
    assert "HDAC inhibitor" in page.locator("#legend").inner_text()
    box = page.locator("canvas").bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)]
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=4)
    page.mouse.up()
    assert page.locator("#count").inner_text() == "48 of 48 wells"
    assert page.locator("#chosen tr").count() == 49
    with page.expect_download() as started:
        page.get_by_role("button", name="download these").click()
    saved = tmp_path / "wells.csv"
    started.value.save_as(saved)
    assert len(saved.read_text().splitlines()) == 49
    assert fits(page)


def test_a_table_is_downloaded(tab, served, tmp_path) -> None:
    page = tab.page
    page.goto(f"{served.address}/?q=HDAC")
    with page.expect_download() as started:
        page.get_by_role("link", name="download").first.click()
    saved = tmp_path / "treatments.csv"
    started.value.save_as(saved)
    assert saved.read_text().startswith("query,query_condition,")


@pytest.mark.parametrize("text", HARMFUL)
def test_harmful_strings_run_nothing(browser, attacked, text: str) -> None:
    tab = Watched(browser)
    page = tab.page
    page.goto(attacked.address)
    page.get_by_role("searchbox").fill(text)
    page.get_by_role("searchbox").press("Enter")
    page.locator("main h2, main .note").first.wait_for()
    for address in (*_links(page, "/plate/"), *_links(page, "/well/")[:2], "/map?by=plate"):
        page.goto(attacked.address + address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.harmed === undefined")
    tab.check(attacked)


def _links(page, start: str) -> list[str]:
    found = page.locator(f'a[href^="{start}"]').evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"
    )
    return list(dict.fromkeys(found))[:3]


def test_ten_megabytes_of_question_end_in_a_refusal(served) -> None:
    """By a bare connection: no client sends such an address."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        request = b"GET /?q=" + b"x" * 10_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        answer = b""
        with suppress(OSError):  # the server may hang up on the way
            connection.sendall(request)
        with suppress(OSError):
            answer = connection.recv(4096)
    assert answer == b"" or answer.split()[1] in (b"400", b"414", b"431")
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert connection.recv(4096).split()[1] == b"200", "and others are still answered"


def test_pictures_of_the_page_can_be_looked_at(browser, served, tmp_path) -> None:
    """A page that stays white is no page."""
    tab = Watched(browser)
    tab.page.goto(f"{served.address}/plate/compound0")
    path = Path(tmp_path / "plate.png")
    tab.page.screenshot(path=path)
    assert path.stat().st_size > 10_000
    tab.check(served)
