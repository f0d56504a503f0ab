"""The board as a Starlette application: pages, static files, and a small JSON interface."""

from __future__ import annotations

import html
import json
from collections import Counter
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokentide_deploy.board.access import COOKIE, SECURITY_HEADERS, BoardAccess
from tokentide_deploy.board.errors import BoardError, RequestError
from tokentide_deploy.board.service import BoardService
from tokentide_deploy.board.view import view_from

STATIC: Final = Path(__file__).parent / "static"
_MAX_BODY_BYTES: Final = 1 << 20
_OPEN_PATHS: Final = ("/login", "/healthz", "/static/login.css", "/static/favicon.svg")
"""What somebody who has not given the token yet may fetch."""
_COOKIE_S: Final = 30 * 86_400


def build_app(service: BoardService, access: BoardAccess, answered: Counter[str] | None = None) -> Starlette:
    """The application. It holds no state of its own. answered: counts replies by HTTP status."""

    async def page(request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(_page, service, request.path_params.get("uid", "")))

    async def boards(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_board_list, service))

    async def board(request: Request) -> Response:
        found = await run_in_threadpool(service.dashboards.board, request.path_params["uid"])
        return JSONResponse(found.for_browser())

    async def panel(request: Request) -> Response:
        path = request.path_params
        view = view_from(await _body(request))
        return JSONResponse(await run_in_threadpool(service.panel, path["uid"], path["panel_id"], view))

    async def variable(request: Request) -> Response:
        path = request.path_params
        view = view_from(await _body(request))
        return JSONResponse(await run_in_threadpool(service.variable, path["uid"], path["name"], view))

    async def annotations(request: Request) -> Response:
        view = view_from(await _body(request))
        return JSONResponse(await run_in_threadpool(service.annotations, request.path_params["uid"], view))

    async def login(request: Request) -> Response:
        if request.method == "GET":
            return HTMLResponse(_login_page(""))
        fields = parse_qs((await _body(request)).decode("utf-8", "replace"))
        if not access.is_token(fields.get("token", [""])[0].strip()):
            return HTMLResponse(_login_page("That is not the token. It was printed where the board was started."), 403)
        return _logged_in(request, access, "/")

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/d/{uid}", page),
            Route("/d/{uid}/{slug}", page),
            Route("/login", login, methods=["GET", "POST"]),
            Route("/healthz", health),
            Route("/api/boards", boards),
            Route("/api/boards/{uid}", board),
            Route("/api/boards/{uid}/panels/{panel_id:int}", panel, methods=["POST"]),
            Route("/api/boards/{uid}/variables/{name}", variable, methods=["POST"]),
            Route("/api/boards/{uid}/annotations", annotations, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(_Guard, access=access, answered=answered if answered is not None else Counter()),
            Middleware(GZipMiddleware, minimum_size=2048, compresslevel=4),
        ],
        exception_handlers={BoardError: _problem},
    )


class _Guard:
    """Refuses foreign hosts, foreign pages and strangers before anything else runs; adds the security headers."""

    def __init__(self, app: ASGIApp, access: BoardAccess, answered: Counter[str]) -> None:
        self._app = app
        self._answered = answered
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._answered[str(message["status"])] += 1
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                # Data is never kept; files are asked for again with their ETag.
                headers.setdefault("Cache-Control", "no-cache" if scope["path"].startswith("/static/") else "no-store")
            await send(message)

        request = Request(scope, receive)
        refusal = self._refusal(request)
        await (refusal or self._app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        headers: Headers = request.headers
        access = self._access
        if not access.is_known_host(headers.get("host", "")):
            return _error(
                f"The board is not served under the name {headers.get('host', '')[:100]!r}. Use its address, or start "
                "it with --allowed-host NAME.",
                421,
            )
        if request.method not in ("GET", "HEAD") and not access.is_own_page(headers):
            return _error("Requests from pages of other origins are not served.", 403)
        if not access.token:
            return None
        if access.is_token(request.query_params.get("token", "")) and request.method == "GET":
            rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
            query = f"?{urlencode(rest)}" if rest else ""
            return _logged_in(request, access, "/" + request.url.path.lstrip("/") + query)
        if request.url.path in _OPEN_PATHS or access.may_look(
            headers.get("authorization", ""), request.cookies.get(COOKIE, "")
        ):
            return None
        if request.url.path.startswith("/api/"):
            return _error("This board wants its token: reload the page, or send it as a bearer token.", 401)
        return RedirectResponse("/login", 303)


def _logged_in(request: Request, access: BoardAccess, to: str) -> Response:
    response = RedirectResponse(to, 303)
    response.set_cookie(
        COOKIE,
        access.cookie_value,
        max_age=_COOKIE_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > _MAX_BODY_BYTES:
            raise RequestError(f"the request is larger than {_MAX_BODY_BYTES} bytes", 413)
    return bytes(found)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, BoardError)
    return _error(error.message, error.status)


def _error(message: str, status: int) -> Response:
    return JSONResponse({"error": message}, status)


def _board_list(service: BoardService) -> list[dict[str, Any]]:
    return [
        {
            "uid": board.uid,
            "title": board.model["title"],
            "description": board.model.get("description", ""),
            "tags": board.model.get("tags", []),
        }
        for board in service.dashboards.all()
    ]


def _page(service: BoardService, uid: str) -> str:
    """The page with the asked dashboard's definition in it, which saves the first paint two round trips."""
    boards = service.dashboards.all()
    if not boards:
        raise RequestError("there are no dashboards; write them with `python -m tokentide_dashboards.build`", 500)
    found = next((board for board in boards if board.uid == uid), None if uid else boards[0])
    boot = {
        "boards": _board_list(service),
        "board": found.for_browser() if found else None,
        "problem": "" if found else f"There is no dashboard {uid!r}.",
    }
    # Inside a script element only `<` could end the data.
    data = json.dumps(boot, ensure_ascii=False).replace("<", "\\u003c")
    title = html.escape(str(found.model["title"]) if found else "Not found")
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    return text.replace("{{title}}", title).replace("{{boot}}", data)


def _login_page(problem: str) -> str:
    text = (STATIC / "login.html").read_text(encoding="utf-8")
    return text.replace("{{problem}}", html.escape(problem))
