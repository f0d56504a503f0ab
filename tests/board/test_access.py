"""Who may look: host names, foreign pages, token and cookie."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tokentide_deploy.board.access import BoardAccess
from tokentide_deploy.board.address import board_url
from tokentide_deploy.board.server import serve, settings_from
from tokentide_deploy.errors import DeployError

from .conftest import Board

TOKEN = "the-token-of-this-test"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.5:29090"])
def test_on_loopback_a_foreign_host_name_is_refused(board: Board, host: str) -> None:
    assert board.http.get("/", headers={"host": host}).status_code == 421
    assert board.http.get("/api/boards", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost:29090", "[::1]:29090"])
def test_on_loopback_its_own_names_are_served(board: Board, host: str) -> None:
    assert board.http.get("/api/boards", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("header", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_a_page_of_another_origin_cannot_ask(board: Board, header: dict[str, str]) -> None:
    answer = board.http.post("/api/boards/tokentide-now/panels/1", json=board.view(), headers=header)
    assert answer.status_code == 403


@pytest.fixture
def guarded(start_board: Callable[..., Board]) -> Board:
    return start_board("--host", "0.0.0.0", token=TOKEN)


def test_beyond_loopback_nothing_is_served_without_the_token(guarded: Board) -> None:
    for path in ("/api/boards", "/api/boards/tokentide-now"):
        assert guarded.http.get(path).status_code == 401
    for path in ("/", "/d/tokentide-now", "/static/js/main.js"):
        answer = guarded.http.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert guarded.http.get("/api/boards", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert guarded.http.get("/api/boards", headers={"cookie": "tokentide_board=wrong"}).status_code == 401
    assert guarded.http.get("/?token=wrong").status_code == 303


def test_the_bearer_token_opens_it(guarded: Board) -> None:
    assert guarded.http.get("/api/boards", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_printed_address_logs_in_and_drops_the_token(guarded: Board) -> None:
    answer = guarded.http.get(f"/d/tokentide-now?token={TOKEN}&from=now-6h")
    assert (answer.status_code, answer.headers["location"]) == (303, "/d/tokentide-now?from=now-6h")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert guarded.http.get("/api/boards").status_code == 200


def test_an_address_with_the_token_never_leads_to_another_site(guarded: Board) -> None:
    answer = guarded.http.get(f"//evil.example/x?token={TOKEN}")
    assert answer.headers.get("location", "/").startswith("/")
    assert not answer.headers.get("location", "/").startswith("//")


def test_the_login_form_takes_the_token_and_nothing_else(guarded: Board) -> None:
    assert guarded.http.post("/login", data={"token": "wrong"}).status_code == 403
    assert guarded.http.post("/login", data={"token": TOKEN}).status_code == 303
    assert guarded.http.get("/").status_code == 200


def test_beyond_loopback_an_address_is_a_fine_host_and_a_foreign_name_is_not() -> None:
    access = BoardAccess("0.0.0.0", TOKEN, frozenset({"board.example"}))
    assert access.is_known_host("192.168.1.20:29090")
    assert access.is_known_host("board.example")
    assert not access.is_known_host("rebound.example")
    assert not access.is_known_host("")


def test_a_board_beyond_loopback_without_a_token_does_not_start() -> None:
    settings = settings_from(["--host", "0.0.0.0"], {"TOKENTIDE_BOARD_CLICKHOUSE_URL": "http://reader@127.0.0.1:9/t"})
    with pytest.raises(DeployError, match="needs a token"):
        serve(settings)


def test_the_address_to_open_holds_the_token_only_where_there_is_one() -> None:
    assert board_url("127.0.0.1", 29090, "") == "http://127.0.0.1:29090/"
    assert board_url("::1", 29090, "") == "http://[::1]:29090/"
    assert board_url("10.1.2.3", 29090, "abc") == "http://10.1.2.3:29090/?token=abc"


def test_files_outside_the_static_folder_are_not_served(board: Board) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert httpx.get(board.url + path).status_code == 404
