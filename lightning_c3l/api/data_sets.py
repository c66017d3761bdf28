"""`select` and `write_vlit`: from scored candidates to an instruction-tuning set."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from callbacks.dataset_files import ImagesOfSet, labelled, open_set
from data_modules.images.given import ImagesLike, given_images
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.runs.atomic import require_writable
from lightning_c3l.selection.candidates import NEAR_DUPLICATE, select_candidates

Balance = Literal["kinds", "yes_no"]


def select(
    candidates: Sequence[ScoredCandidate],
    size: int | None = None,
    *,
    reading: str = "answer",
    near_duplicates: float = NEAR_DUPLICATE,
    min_score: float | None = None,
    per_image: int | None = None,
    balance: Collection[Balance] = ("kinds", "yes_no"),
) -> list[ScoredCandidate]:
    """Choose the pairs of a data set from scored candidates, as `fit` and `predict` do.

    Of pairs about one image that ask the same question, or whose words overlap, only the best is kept; then thresholds
    and quotas; then the size is filled with the best.

    Args:
        candidates: with their scores, from `score_candidates` or `score`, or those of a round.
        size: pairs to keep; None keeps all that the other rules leave.
        reading: the score to go by: `answer`, `gap`, `positions`, `vocabulary`, or `mean_logp`, plain confidence; or
            one of your own by which the candidates were scored, such as `my_reading.surprise`.
        near_duplicates: share of common words (Jaccard index) from which two pairs about one image are near-duplicates,
            above 0 and at most 1.
        min_score: least score, in nats a token; at 0 the image makes an answer no less likely.
        per_image: most pairs about one image.
        balance: `kinds` divides the size equally over the kinds of instructions; `yes_no` fills it with as many answers
            of yes as of no, since S(I2C) ranks the two apart, true or not.

    Returns:
        The pairs kept, with the status "kept", in the order in which they came.

    Raises:
        ValueError: an option is unknown or out of range, or a candidate has no scores and is not rejected.

    Examples:
        >>> import lightning_c3l
        >>> lvlm = lightning_c3l.load("shipped:scenes", device="cpu")
        >>> scenes = lightning_c3l.SceneImages(2, seed=1)
        >>> candidates = lightning_c3l.generate(lvlm, scenes, "scenes", samples=2, max_new_tokens=24)
        >>> scored = lightning_c3l.score_candidates(lvlm, scenes, candidates)
        >>> kept = lightning_c3l.select(scored, 4)
        >>> sorted(one.candidate.instruction.kind for one in kept)
        ['color', 'number', 'place', 'presence']
    """
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if unknown := set(balance).difference(get_args(Balance)):
        raise ValueError(f"balance must hold none but {', '.join(get_args(Balance))}, not {', '.join(sorted(unknown))}")
    if any(not isinstance(one, ScoredCandidate) for one in candidates):
        raise ValueError("candidates are selected by their scores, which `score_candidates` gives them")
    selected = select_candidates(
        candidates,
        size or max(1, len(candidates)),
        reading,
        near_duplicates,
        min_score=min_score,
        per_image=per_image,
        balance="kinds" if "kinds" in balance else None,
        balance_yes_no="yes_no" in balance,
    )
    return [one for one in labelled(candidates, selected, None) if one.status == "kept"]


def write_vlit(pairs: Iterable[ScoredCandidate], images: ImagesLike, path: str | Path, **made_by: Any) -> Path:
    """Write pairs as an instruction-tuning set, with their scores and where they come from.

    Images that are no files of their own are written to a folder `images` beside the set. The set's image paths are
    relative to the folder that `<stem>.meta.json` names; `fit`, `score`, `select` and `convert` look there.

    Args:
        pairs: what `select` has kept.
        images: as they were given to `generate`.
        path: a `.json` file, which is written in LLaVA's format; `convert` makes others of it.
        made_by: what else each record's provenance should say, such as `model="shipped:scenes"`.

    Returns:
        The file.

    Raises:
        ValueError: the file is no `.json`, there is no pair, one has no scores, or it is about none of the images.
        OSError: a file cannot be written.

    Examples:
        >>> import lightning_c3l, tempfile
        >>> lvlm = lightning_c3l.load("shipped:scenes", device="cpu")
        >>> scenes = lightning_c3l.SceneImages(2, seed=1)
        >>> pairs = [lightning_c3l.score(lvlm, scenes.read(scenes.keys()[0]), "What color are the triangles?", "green")]
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = lightning_c3l.write_vlit(pairs, scenes.read(scenes.keys()[0]), f"{folder.name}/vlit.json")
        >>> file.name
        'vlit.json'
        >>> folder.cleanup()
    """
    file, given, kept = Path(path).expanduser(), given_images(images), list(pairs)
    if file.suffix != ".json":
        raise ValueError(f"{file}: is written as .json; the verb `convert` makes other formats of it")
    if not kept:
        raise ValueError(f"{file}: there is no pair to write")
    given.require(one.candidate.image for one in kept)
    require_writable(file)
    with open_set([file], ImagesOfSet(file.parent, given.source), {"round": "notebook", **made_by}) as write:
        for one in kept:
            write(one)
    return file
