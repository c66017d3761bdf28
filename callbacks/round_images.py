"""The images of a resumed run compared with those that its rounds were made with."""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any, cast

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lightning_c3l.rounds.group_rows import GroupRows
from lightning_c3l.rounds.protocols import RoundData
from lightning_c3l.rounds.store import Round, RunStore
from lightning_c3l.runs import manifest
from lightning_c3l.runs.atomic import write_json_atomic


def usable_groups(stored: Round, made_with: Mapping[str, str], data: RoundData, number: int) -> GroupRows:
    """The groups of a finished round whose images are unchanged.

    Args:
        stored: the round, as the run folder has it.
        made_with: digest of each of its images; rounds of earlier versions have none.
        data: gives the digests of the images that can be read now.
        number: of the round.

    Raises:
        ValueError: most of the images are gone or changed: the folder is another one, or is not there.
    """
    now: Mapping[str, str] = data.digests("images")
    groups = cast(GroupRows, stored.groups)
    if made_with and all(now.get(image) == digest for image, digest in made_with.items()):
        return groups  # no group has to be looked at
    images = set(groups.images())
    lost = {one for one in images if one not in now or now[one] != made_with.get(one, now[one])}
    if not lost:
        return groups
    if 2 * len(lost) > len(images):
        raise ValueError(
            f"data.images: {len(lost)} of the {len(images)} images that round {number} is trained on are gone or "
            f"changed, {min(lost)} among them; put them back"
        )
    kept = groups.kept(np.array([image not in lost for image in groups.images()]))
    rank_zero_warn(
        f"round {number}: {len(groups) - len(kept)} of {len(groups)} groups are left out, since {len(lost)} images are "
        f"gone or changed since it was made, {min(lost)} among them"
    )
    return kept


def joined_rounds(rounds: Iterable[tuple[GroupRows, Mapping[str, str]]]) -> tuple[GroupRows, dict[str, str]]:
    """Groups of several rounds one after the other; the description of an image is that of the first which has one.

    Args:
        rounds: groups and descriptions of each, at least one.
    """
    groups, descriptions = list[GroupRows](), dict[str, str]()
    for own, said in rounds:
        groups.append(own)
        descriptions = {**said, **descriptions}
    return reduce(GroupRows.followed_by, groups), descriptions


def require_measured(measured: Mapping[str, Any], data: RoundData, option: str) -> None:
    """Refuse to measure on other images than the first time.

    Args:
        measured: source of the images and digest of each, from the first measurement.
        data: gives the digests of the images that can be read now.
        option: and value that leaves the measurement out.

    Raises:
        ValueError: an image is gone or changed; names the option and the image.
    """
    source, before = measured["source"], measured["digests"]
    now: Mapping[str, str] = data.digests(source)
    lost = [key for key, digest in before.items() if now.get(key) != digest]
    if lost:
        raise ValueError(
            f"data.{source}: {len(lost)} of the {len(before)} images on which the starting writer was measured are "
            f"gone or changed, {lost[0]} among them; put them back, or leave the measurement out with {option}"
        )


def tell_of_changes(store: RunStore, now: Mapping[str, str]) -> None:
    """Report how the images have changed since the last start, and store the list; rank zero only."""
    file = store.folder / "images.json"
    try:
        before = manifest.read(file) if file.is_file() else None
    except ValueError as error:
        rank_zero_warn(f"{error}; it is written again")
        before = None
    if before == now:
        return
    if before is not None:
        added, removed = len(now.keys() - before.keys()), len(before.keys() - now.keys())
        changed = sum(before.get(key, digest) != digest for key, digest in now.items())
        rank_zero_info(
            f"data.images: {added} added, {removed} removed and {changed} changed since the last start; that counts "
            "from the next round on"
        )
    write_json_atomic(file, dict(now))
