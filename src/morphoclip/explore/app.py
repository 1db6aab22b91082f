"""The page's addresses. All are read-only; all text of users is escaped by the templates."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from morphoclip.errors import InputError
from morphoclip.explore import downloads, views, wells_map
from morphoclip.explore.data import ExploreData
from morphoclip.perturbations.well_index import readable_condition

logger = logging.getLogger(__name__)

T = TypeVar("T")

Page = Callable[..., Response]
"""A template filled in: request, name, context, status."""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names that a browser on this machine may call the page by."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LONGEST_ADDRESS = 16_384


def create_app(data: ExploreData, *, allowed_hosts: Sequence[str] = LOOPBACK) -> FastAPI:
    """The page over this data.

    Args:
        data: What it shows.
        allowed_hosts: Names of the machine that requests may carry; others are refused, so that no
            other site's page can read this one through a name of its own.
    """
    app = FastAPI(title="MorphoCLIP", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts))
    folder = Path(str(files("morphoclip.explore")))
    app.mount("/static", StaticFiles(directory=folder / "static"), name="static")
    templates = Jinja2Templates(directory=folder / "templates")
    templates.env.filters["condition"] = lambda name: readable_condition(str(name))
    templates.env.filters["number"] = views.as_number
    templates.env.globals.update(title=data.title, channels=data.channels)

    @app.middleware("http")
    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        if len(str(request.url)) > _LONGEST_ADDRESS:
            return PlainTextResponse("the question is too long", status_code=414)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-cache")  # a newer version is seen at once
        return response

    def page(request: Request, name: str, context: dict[str, Any], status: int = 200) -> Response:
        return templates.TemplateResponse(request, f"{name}.html", context, status_code=status)

    _add_sentences(app, page)
    _add_pages(app, data, page)
    _add_files(app, data)
    return app


def _add_sentences(app: FastAPI, page: Page) -> None:
    """What cannot be answered is said on a page."""

    @app.exception_handler(StarletteHTTPException)
    def not_there(request: Request, error: StarletteHTTPException) -> Response:
        sentence = error.detail if error.status_code == 404 else "this cannot be answered"
        return page(request, "error", {"sentence": sentence}, error.status_code)

    @app.exception_handler(InputError)
    def a_sentence(request: Request, error: InputError) -> Response:
        return page(request, "error", {"sentence": str(error)}, 400)

    @app.exception_handler(ValueError)
    def no_number(request: Request, error: ValueError) -> Response:
        logger.warning("a request could not be answered: %s", error)
        return page(request, "error", {"sentence": "this cannot be answered"}, 400)


def _add_pages(app: FastAPI, data: ExploreData, page: Page) -> None:
    @app.get("/", response_class=HTMLResponse)
    def home(request: Request, q: str = "", kind: str = "") -> Response:
        return page(request, "home", views.home(data, q, kind))

    @app.get("/plate/{plate:path}", response_class=HTMLResponse)
    def plate(request: Request, plate: str, by: str = "", q: str = "") -> Response:
        return page(request, "plate", _found(views.plate(data, plate, by, q)))

    @app.get("/well/{plate:path}/{well}", response_class=HTMLResponse)
    def well(request: Request, plate: str, well: str) -> Response:
        return page(request, "well", _found(views.well(data, plate, well)))

    @app.get("/treatment/{modality}/{sample:path}", response_class=HTMLResponse)
    def treatment(request: Request, modality: str, sample: str) -> Response:
        return page(request, "treatment", _found(views.treatment(data, modality, sample)))

    @app.get("/map", response_class=HTMLResponse)
    def map_of_wells(request: Request, by: str = "", axes: str = "") -> Response:
        return page(request, "map", wells_map.map_page(data, by, axes))


def _add_files(app: FastAPI, data: ExploreData) -> None:
    """Points, pictures and tables."""

    @app.get("/map.json")
    def map_points(by: str = "", axes: str = "") -> dict[str, Any]:
        return wells_map.map_points(data, by, axes)

    @app.get("/picture/{plate:path}/{site}.webp")
    def picture(plate: str, site: str, channel: str = "") -> Response:
        content = _found(views.picture(data, f"{plate}/{site}", channel))
        return Response(content, media_type="image/webp")

    @app.get("/download/{table}.csv")
    def download(table: str, q: str = "", kind: str = "", plate: str = "") -> Response:
        content = _found(downloads.download(data, table, q=q, kind=kind, plate=plate))
        return Response(
            content,
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{table}.csv"'},
        )


def _found(value: T | None) -> T:
    if value is None:
        raise HTTPException(404, "there is no such plate, well, treatment, picture or table here")
    return value
