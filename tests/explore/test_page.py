"""The page without a browser: every address, its answers, and what it refuses."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from explored_plates import CHANNELS, HARMFUL, explored, harmful
from markupsafe import escape
from starlette.testclient import TestClient

from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError
from morphoclip.evaluation import anndata_profiles
from morphoclip.evaluation.anndata_profiles import as_anndata
from morphoclip.explore.app import create_app
from morphoclip.explore.data import explore_data
from morphoclip.explore.downloads import as_csv
from morphoclip.explore.plate_map import colour_of, plate_map
from morphoclip.imaging.thumbnails import decode_strip


@pytest.fixture(scope="module")
def page() -> TestClient:
    return TestClient(create_app(explored()), base_url="http://127.0.0.1:4242")


@pytest.fixture(scope="module")
def attacked() -> TestClient:
    return TestClient(
        create_app(harmful()), base_url="http://localhost", raise_server_exceptions=True
    )


def links(html: str, start: str) -> list[str]:
    return re.findall(rf'href="({start}[^"]*)"', html)


def test_the_beginning_names_plates_and_treatments(page) -> None:
    html = page.get("/").text
    assert links(html, "/plate/") == ["/plate/compound0", "/plate/compound1"]
    assert "drug 0" in html
    assert "0123456789abcdef" in html


def test_a_question_is_answered_with_cells_beside_controls(page) -> None:
    html = page.get("/", params={"q": "HDAC inhibitor"}).text
    assert "Most similar to text: HDAC inhibitor" in html
    assert "HDAC inhibitor</td>" in html, "what is shared"
    pictures = re.findall(r'src="(/picture/[^"]*)"', html)
    assert len(pictures) > 10
    assert page.get(pictures[0]).headers["content-type"] == "image/webp"
    assert html.count("negative control of the same plate") > 5


def test_a_question_that_names_nothing_is_a_sentence(page) -> None:
    answer = page.get("/", params={"q": "drug 77", "kind": "treatment"})
    assert answer.status_code == 200
    assert "no treatment of these profiles has the name drug 77" in answer.text
    assert "10,001 characters" in page.get("/", params={"q": "x" * 10_001}).text


@pytest.mark.parametrize("by", ["nuclei", "similarity to controls", "Metadata_role", "nonsense"])
def test_a_plate_is_drawn_by_any_column(page, by: str) -> None:
    html = page.get("/plate/compound0", params={"by": by}).text
    assert html.count("data-well=") == 24
    assert 'viewBox="0 0' in html
    assert len(links(html, "/well/compound0/")) == 24


def test_a_plate_is_drawn_by_similarity_to_a_question(page) -> None:
    html = page.get("/plate/compound0", params={"q": "HDAC"}).text
    assert "similarity to text: HDAC" in html
    refused = page.get("/plate/compound0", params={"q": "x" * 10_001})
    assert refused.status_code == 200
    assert "at most 10,000" in refused.text


def test_a_well_shows_sites_channels_a_control_and_neighbours(page) -> None:
    html = page.get("/well/compound0/A01").text
    for channel in CHANNELS:
        assert f"?channel={channel}" in html
    assert html.count('alt="site f0') == 2 * (1 + len(CHANNELS))
    assert "Most similar to this well" in html
    assert "nuclei" in html
    (link,) = set(links(html, "/treatment/")) & {"/treatment/compound/compound-0"}
    assert "its treatment" in html
    assert page.get(link).status_code == 200


def test_a_treatment_lists_its_wells_beside_controls(page) -> None:
    html = page.get("/treatment/compound/compound-3").text
    assert "drug 3" in html
    assert {"/well/compound0/A04", "/well/compound1/A04"} <= set(links(html, "/well/"))
    own, of_controls = re.search(
        r'<td class="n">2</td><td class="n">([\d.-]+)</td><td class="n">([\d.-]+)</td>', html
    ).groups()
    assert float(own) > 0.9 > 0.3 > float(of_controls)


def test_the_map_holds_every_well_once(page) -> None:
    points = page.get("/map.json", params={"by": "mechanism"}).json()
    assert len(points["x"]) == len(points["y"]) == len(points["plate"]) == 48 == points["n_all"]
    assert set(points["colours"]) == {"HDAC inhibitor"}
    assert points["value"].count("HDAC inhibitor") == 8
    assert points["words"].startswith("the first two principal components: ")
    assert page.get("/map", params={"by": "nonsense"}).status_code == 200


def test_the_map_takes_the_umap_of_the_same_model_and_wells(tmp_path, monkeypatch) -> None:
    data = explored()
    table = data.index.wells[[PLATE, WELL]].iloc[::-1].reset_index(drop=True)
    places = np.arange(2 * len(table), dtype=np.float32).reshape(-1, 2)
    monkeypatch.setattr(anndata_profiles, "umap_of", lambda *_: places)
    for name, model in (("own", data.title), ("another", "another")):
        profiles = table.assign(Metadata_model=model, embedding_0=1.0)
        as_anndata(profiles, seed=0).write_h5ad(tmp_path / f"{name}.h5ad")
    (tmp_path / "damaged.h5ad").write_bytes(b"no HDF5")
    paths = [tmp_path / f"{name}.h5ad" for name in ("damaged", "another", "own")]
    page = TestClient(create_app(replace(data, anndata=tuple(paths))), base_url="http://localhost")
    assert '<option value="umap">' in page.get("/map").text
    points = page.get("/map.json", params={"axes": "umap", "by": "plate"}).json()
    assert points["words"].startswith("UMAP")
    assert points["x"][0] == places[-1, 0], "wells are found by plate and name"
    without = replace(data, anndata=tuple(paths[:2]))
    assert without.umap is None
    refused = TestClient(create_app(without), base_url="http://localhost")
    assert "umap" not in refused.get("/map").text


def test_pictures_are_one_channel_or_all_in_colours(page) -> None:
    strip = page.get("/picture/compound0/r01c01f01.webp").content
    tiles = decode_strip(strip)
    assert tiles.shape == (5, 32, 32)
    one = page.get("/picture/compound0/r01c01f01.webp", params={"channel": "DNA"}).content
    assert np.abs(decode_strip(one)[0].astype(int) - tiles[4]).mean() < 8
    colours = page.get("/picture/compound0/r01c01f01.webp", params={"channel": "composite"})
    assert colours.status_code == 200
    assert page.get("/picture/compound0/r01c01f01.webp?channel=GFP").status_code == 404
    assert page.get("/picture/compound0/r09c09f09.webp").status_code == 404


def test_tables_are_downloaded(page) -> None:
    answer = page.get("/download/wells.csv", params={"q": "HDAC"})
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 8
    assert rows[0]["rank"] == "1"
    of_plate = page.get("/download/plate.csv", params={"plate": "compound1"}).text
    assert len(list(csv.DictReader(io.StringIO(of_plate)))) == 24
    for address in ("/download/secrets.csv", "/download/wells.csv", "/download/plate.csv?plate=x"):
        assert page.get(address).status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "/plate/nowhere", "/well/compound0/Z99", "/well/nowhere/A01", "/treatment/compound/nothing",
        "/treatment/x/compound-0", "/static/../data.py", "/static/%2e%2e/app.py", "/nowhere",
        "/picture/..%2f..%2fetc/passwd.webp", "/plate/%00", "/well/compound0/%F0%9F%98%80",
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_kindly(page, address: str) -> None:
    answer = page.get(address)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


def test_other_names_of_the_machine_are_refused(page) -> None:
    assert page.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert page.get("/", headers={"Host": "127.0.0.1.evil.example"}).status_code == 400
    assert page.get("/", headers={"Host": "localhost:4242"}).status_code == 200


def test_nothing_is_changed_and_nothing_else_is_served(page) -> None:
    for method in ("post", "put", "delete", "patch"):
        assert getattr(page, method)("/").status_code == 405
    assert page.get("/docs").status_code == page.get("/openapi.json").status_code == 404
    headers = page.get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_an_endless_question_is_refused(page) -> None:
    assert page.get("/", params={"q": "x" * 20_000}).status_code == 414


@pytest.mark.parametrize("text", HARMFUL)
def test_harmful_questions_are_shown_as_text(attacked, text: str) -> None:
    for kind in ("", "text", "treatment", "well", "structure", "nonsense"):
        answer = attacked.get("/", params={"q": text, "kind": kind})
        assert answer.status_code == 200
        harmless(answer.text)
        assert str(escape(text)) in answer.text, "as it was asked"


def harmless(html: str) -> None:
    assert "<script>window" not in html
    assert "<img src=x" not in html
    assert 'href="javascript' not in html
    assert not re.search(r'onerror="', html)
    assert str(Path.cwd()) not in html


def test_harmful_names_are_shown_as_text_on_every_page(attacked) -> None:
    seen, waiting = set(), ["/"]
    while waiting and len(seen) < 80:
        address = waiting.pop(0)
        if address in seen:
            continue
        seen.add(address)
        answer = attacked.get(address.replace("&amp;", "&"))
        assert answer.status_code == 200, address
        if "html" in answer.headers["content-type"]:
            harmless(answer.text)
            waiting += [link for link in links(answer.text, "/") if not link.startswith("/static")]
    assert any(address.startswith("/treatment/") for address in seen)
    assert any(address.startswith("/well/") for address in seen)
    points = attacked.get("/map.json?by=plate").json()
    assert HARMFUL[0] in points["colours"], "the page's script sets it as text"


def test_a_spreadsheet_runs_nothing_that_is_downloaded(attacked) -> None:
    text = attacked.get("/download/texts.csv", params={"q": "HDAC"}).text
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@")]
    numbers = explored().index.labels_of(np.arange(2)).assign(n=[-1.5, 2.0])
    assert "-1.5" in as_csv(numbers).decode(), "a negative number is no formula"


def test_colours_and_formats_of_plates() -> None:
    assert colour_of(-1) == colour_of(0) == "#440154"
    assert colour_of(1) == colour_of(7) == "#fde725"
    data = explored()
    rows = data.index.wells[data.index.wells[PLATE] == "compound0"]
    drawn = plate_map(rows[WELL], rows["Metadata_role"].reset_index(drop=True))
    assert (len(drawn.rows), len(drawn.columns)) == (16, 24)
    assert [name for name, _ in drawn.legend] == ["negcon", "trt"]


def test_without_a_bundle_there_is_a_sentence(tmp_path) -> None:
    with pytest.raises(InputError, match=r"is no bundle: make one with .*pack_model"):
        explore_data(str(tmp_path))
