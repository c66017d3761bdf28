"""Addresses, ranges and the key."""

from typing import Any

import pytest

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.served.options import ServedOptions, server_urls


@pytest.mark.parametrize(
    ("url", "rank", "expected"),
    [
        ("http://localhost:8000", 0, ["http://localhost:8000"]),
        ("http://localhost:8000/v1/", 0, ["http://localhost:8000"]),
        (["https://a/", "https://b/sub/v1", "https://a"], 0, ["https://a", "https://b/sub"]),
        ("http://node-{rank}:800{rank}", 3, ["http://node-3:8003"]),
    ],
)
def test_urls(url: Any, rank: int, expected: list[str]) -> None:
    assert server_urls(url, rank) == expected


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ([], "names no server"),
        # as YAML reads a list of addresses with braces and without quotes
        ("[http://a:800{rank}, http://me:hush@b]", "put each address in quotes"),
        ("localhost:8000", "must begin with http"),
        ("http://host:port", "is not a URL"),
        ("http://host/?key=hush", "read only from the environment"),
        ("http://me:hush@host", "read only from the environment"),
        ("http://ho st", "no URL has"),
    ],
)
def test_invalid_urls(url: Any, problem: str) -> None:
    with pytest.raises(LVLMError, match=problem) as caught:
        server_urls(url, 0)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api", "grpc"),
        ("concurrency", 0),
        ("timeout", 0.0),
        ("timeout", float("inf")),
        ("retries", -1),
        ("handover", ""),
        ("tolerance", 0.0),
    ],
)
def test_ranges(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"generator.{name} must"):
        ServedOptions(**{name: value})


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("OTHER", " sk-other\n")
    assert ServedOptions().key() == "sk-one"
    assert ServedOptions(api_key_env="OTHER").key() == "sk-other"
    assert "sk-" not in repr(ServedOptions())
    monkeypatch.setenv("OTHER", "sk-with\nline")
    with pytest.raises(LVLMError, match="OTHER contains characters") as caught:
        ServedOptions(api_key_env="OTHER").key()
    assert "sk-with" not in str(caught.value)
    monkeypatch.delenv("OTHER")
    assert ServedOptions(api_key_env="OTHER").key() == "none"
