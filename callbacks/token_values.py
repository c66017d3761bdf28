"""What each token of the pairs in the report owes to the image, by the starting model."""

import warnings
from collections.abc import Mapping, Sequence

from lightning import Callback, LightningModule, Trainer

from callbacks.measuring import share_out
from callbacks.order import Order
from callbacks.report import image_or_none
from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import exchange
from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.report.figures import first_and_last
from lightning_c3l.report.gallery import PairKey, exported_pairs, shown_pairs
from lightning_c3l.report.token_values import TokenValues
from lightning_c3l.rounds.gallery import read_token_values, write_token_values
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.rounds.run_page import read_extras, read_rounds
from lightning_c3l.rounds.scoring import Context
from lightning_c3l.rounds.token_values import token_values

# source and key of an image
_ImageKey = tuple[str, str]


class GalleryTokens(Callback):
    """Writes `report/tokens.json` when a run ends well, from which the page can be made again without a model."""

    order = Order.GALLERY

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the tokens of the pairs that the report will show; the ranks share the images."""
        if (run := RoundRun.of(trainer, pl_module)) is None:
            return
        known, missing = collectives.on_rank_zero(lambda: _shown(run))
        size = BatchSize(run.engine.config.score_batch_size, "writing.score_batch_size")
        # around all of it, so that a rank without images enters it too
        with run.module.inference_context(), run.module.lvlm.reference():
            found = share_out(list(missing.items()), lambda own, _: _scored(run, dict(own), size))
        values = {**known, **{key: one for key, one in found if one is not None}}
        collectives.on_rank_zero(lambda: write_token_values(run.store, run.engine.lvlm.fingerprint, values))


def _shown(run: RoundRun) -> tuple[dict[PairKey, TokenValues], dict[_ImageKey, list[PairKey]]]:
    """The pairs of the report: those whose token values are known, and the others by image."""
    known, missing = dict[PairKey, TokenValues](), dict[_ImageKey, list[PairKey]]()
    with warnings.catch_warnings():
        # the report says what is damaged
        warnings.simplefilter("ignore")
        extras = read_extras(run.store.folder, run.store.summary())
        written = read_rounds(run.store)[0]
        exported = exported_pairs(extras.exported, extras.reading)
        rounds = {number: CandidateColumns.of(written[number], extras.reading) for number in first_and_last(written)}
        pairs = shown_pairs(rounds, exported, extras.answers)
    model, stored = read_token_values(run.store)
    for pair in pairs:
        if pair.scores is None:
            continue
        if model == run.engine.lvlm.fingerprint and pair.key in stored:
            known[pair.key] = stored[pair.key]
        elif pair.key not in (own := missing.setdefault(pair.key[:2], [])):
            own.append(pair.key)
    return known, missing


def _scored(
    run: RoundRun, pairs: Mapping[_ImageKey, Sequence[PairKey]], size: BatchSize
) -> list[tuple[PairKey, TokenValues | None]]:
    """Token values of pairs, by image; those of images that have gone are left out."""
    images = {key: image for key in pairs if (image := image_or_none(run, key[1], key[0] or "images")) is not None}
    names = {f"{source}/{key}": (source, key) for source, key in images}
    contexts = [Context((name,), tuple(exchange(*pair[2:]) for pair in pairs[key])) for name, key in names.items()]
    found = token_values(run.engine.lvlm, contexts, lambda name: images[names[name]], size)
    return [
        (pair, values)
        for key, own in zip(names.values(), found, strict=True)
        for pair, values in zip(pairs[key], own, strict=True)
    ]
