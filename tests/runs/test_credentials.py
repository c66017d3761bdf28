import pytest

from lightning_c3l.runs.credentials import without_credentials


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("pipe:curl -H 'Authorization: Bearer s3cret' https://host/a.tar", "pipe:curl …"),
        ("--data.images=pipe:curl -u me:s3cret\nhttps://host", "--data.images=pipe:curl …"),
        ("pipe:list", "pipe:list"),
        ("https://me:s3cret@host:8080/v1?a=b@c", "https://host:8080/v1?a=b@c"),
        ("me@host", "me@host"),
        ("images/a pipe/b", "images/a pipe/b"),
    ],
)
def test_what_lets_somebody_in_is_left_out(given: str, shown: str) -> None:
    assert without_credentials(given) == shown


def test_it_is_found_at_any_depth() -> None:
    given = {"data": {"images": ["pipe:curl s3cret", None, 2.5]}, "words": ("a", "https://s3cret@host")}
    assert without_credentials(given) == {
        "data": {"images": ["pipe:curl …", None, 2.5]},
        "words": ["a", "https://host"],
    }
