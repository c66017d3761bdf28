"""Addresses of endpoints."""

import httpx
import pytest

from lightning_c3l.runs.endpoints import leads_here, mounts


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://localhost:8000", True),
        ("http://LOCALHOST/v1", True),
        ("http://127.0.0.1:8000", True),
        ("https://127.1.2.3", True),
        ("http://[::1]:8000", True),
        ("http://0.0.0.0:8000", True),
        ("http://localhost.example.org", False),
        ("http://10.0.0.1:8000", False),
        ("http://[::2]:8000", False),
    ],
)
def test_proxies_are_for_other_machines(url: str, is_here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    client = httpx.Client(mounts=mounts(url))
    assert leads_here(url) == is_here
    assert (client._transport_for_url(httpx.URL(url)) is client._transport) == is_here
