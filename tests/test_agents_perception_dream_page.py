"""The page's server answers this machine's own pages alone."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import twin_pages


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with twin_pages.served(tmp_path / "videos") as found:
        yield found


def request(address: str, method: str, path: str, body: str = "", **headers: str) -> int:
    connection = HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    status = connection.getresponse().status
    connection.close()
    return status


def test_foreign_pages_and_broken_requests_are_refused(address: str) -> None:
    json = {"Content_Type": "application/json"}
    assert request(address, "GET", "/") == 200 and request(address, "GET", "/etc") == 404
    assert request(address, "GET", "/", Host="example.com:80") == 403
    assert request(address, "POST", "/step", "{}", **json, Host="example.com") == 403
    assert request(address, "POST", "/step", "{}", Content_Type="text/plain") == 415
    assert (
        request(address, "POST", "/step", "{", **json) == 400 and request(address, "POST", "/step", "[]", **json) == 400
    )
    assert request(address, "POST", "/step", '{"a": "' + "x" * 2_000 + '"}', **json) == 413
    assert request(address, "POST", "/step", '{"action": "jump"}', **json) == 200
