"""Tables and protocols: the shipped ones, and what is refused."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from callbacks.i2c_reweighting import I2CReweighting
from experiments.recipe.protocol import read_protocol
from experiments.recipe.table import Options, nested, read_table, writing_options
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.modules.loss_config import LossConfig
from lightning_c3l.modules.optimization import OptimizerConfig
from tests.helpers.commandline import ROOT, parsed_config

FOLDER = ROOT / "experiments" / "recipe"
TABLES = ("contrastive", "choices", "rounds")


def mixed(rows: Iterable[Options]) -> list[Options]:
    """As few sets of options as have each value of each option."""
    columns = dict[str, list[Any]]()
    for options in rows:
        for name, value in options.items():
            if value not in (values := columns.setdefault(name, [])):
                values.append(value)
    longest = max(map(len, columns.values()))
    return [{name: values[number % len(values)] for name, values in columns.items()} for number in range(longest)]


@pytest.mark.parametrize("name", TABLES)
def test_the_parser_takes_every_option_of_a_shipped_table(name, capsys, tmp_path):
    table = read_table(FOLDER / f"{name}.yaml")
    for number, options in enumerate(mixed([*table.rows.values(), table.rounds])):
        overlay = tmp_path / f"{number}.yaml"
        overlay.write_text(yaml.safe_dump(nested(options)))
        config = parsed_config(capsys, "fit", "--config", str(table.experiment), "--config", str(overlay))
        for option, value in options.items():
            found = config
            for key in option.split("."):
                found = found[key]
            assert found == value, option


@pytest.mark.parametrize("name", TABLES)
def test_the_options_of_a_row_fit_together(name):
    table = read_table(FOLDER / f"{name}.yaml")
    experiment = yaml.safe_load(table.experiment.read_text())
    for options in (*table.rows.values(), table.rounds):
        changed = nested(options)
        loss = changed.get("model", {}).get("init_args", {}).get("loss", {})
        LossConfig(**{**experiment["model"]["init_args"]["loss"], **loss})
        I2CReweighting(**{**experiment["i2c"], **changed.get("i2c", {})})


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    inner = {name: merged(base.get(name) or {}, own) for name, own in change.items() if isinstance(own, Mapping)}
    return {**base, **change, **inner}


@pytest.mark.parametrize("name", TABLES)
def test_no_row_trains_as_another_does(name):
    table = read_table(FOLDER / f"{name}.yaml")
    experiment = yaml.safe_load(table.experiment.read_text())
    seen = dict[Any, str]()
    for row, options in table.rows.items():
        config = merged(deepcopy(experiment), nested(options))
        model = config["model"].pop("init_args")
        # with the defaults of what the row leaves out
        loss, rounds = LossConfig(**model.pop("loss")), I2CReweighting(**config.pop("i2c"))
        steps, sampling = OptimizerConfig(**model.pop("optimization")), Sampling(**model["writing"].pop("sampling"))
        whole = loss, repr(vars(rounds)), steps, sampling, yaml.safe_dump([model, config])
        assert seen.setdefault(whole, row) == row


def test_the_shipped_protocol_looks_twice_at_different_things():
    protocol = read_protocol(FOLDER / "protocol.yaml")
    search, confirm = protocol.stage("search"), protocol.stage("confirm")
    assert search.chosen(None) == [0, 1, 2]
    assert confirm.chosen(None) == list(range(10, 20))
    assert search.images != confirm.images
    assert all("follow=0.0" in stage.images for stage in (search, confirm))
    assert protocol.target.tolerance == 0.01


def test_options_that_candidates_depend_on():
    options: dict[str, Any] = {
        "model.init_args.writing.sampling.samples": 8,
        "model.init_args.lvlm.init_args.path": "some",
        "model.init_args.lvlm.init_args.lora": None,
        "model.init_args.lvlm.init_args.lora.rank": 4,
        "model.init_args.loss.anchor": "description",
        "model.init_args.loss.temperature": 0.1,
        "i2c.images_per_round": 3,
        "i2c.margin": 0.5,
        "data.init_args.images": "folder",
        "data.init_args.batch_size": 4,
    }
    assert list(writing_options(options)) == [
        "model.init_args.writing.sampling.samples",
        "model.init_args.lvlm.init_args.path",
        "i2c.images_per_round",
        "data.init_args.images",
        "model.init_args.loss.anchor",
    ]
    assert writing_options({"model.init_args.loss.anchor": "instruction"}) == {}


def test_nested_options():
    assert nested({"a.b": 1, "a.c.d": None, "e": [2]}) == {"a": {"b": 1, "c": {"d": None}}, "e": [2]}
    with pytest.raises(ValueError, match=r"^a\.b\.c: b has a value of its own$"):
        nested({"a.b": 1, "a.b.c": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": None}, "rows must be a mapping"),
        ({"baseline": "nobody"}, "baseline: there is no row 'nobody'"),
        ({"experiment": "none.yaml"}, "experiment: "),
        ({"row": {}}, "'row' is not known here; known are experiment, baseline, rounds, rows"),
        ({"rows": {"base": {}, "a/b": {}}}, "rows: 'a/b' is no name of letters"),
        ({"rows": {"base": [1]}}, "rows.base must be a mapping"),
    ],
)
def test_a_table_that_is_none(tmp_path, change, message):
    (tmp_path / "experiment.yaml").write_text("{}")
    file = tmp_path / "some.yaml"
    file.write_text(
        yaml.safe_dump({"experiment": "experiment.yaml", "baseline": "base", "rows": {"base": {}}, **change})
    )
    with pytest.raises(ValueError, match=r"some\.yaml: ") as refused:
        read_table(file)
    assert message in str(refused.value)


def test_rows_and_rounds_of_a_table(tmp_path):
    (tmp_path / "experiment.yaml").write_text("{}")
    file = tmp_path / "some.yaml"
    rows = {"base": None, "other": {"b": 3}}
    file.write_text(
        yaml.safe_dump({"experiment": "experiment.yaml", "baseline": "base", "rounds": {"c": 1}, "rows": rows})
    )
    table = read_table(file)
    assert (table.rows, table.rounds) == ({"base": {}, "other": {"b": 3}}, {"c": 1})


STAGE = {"seeds": "0", "images": "scenes:count=2"}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "the file must be a mapping"),
        ({"resamples": 10}, "stages is missing"),
        ({"stages": {"a": STAGE}, "samples": 2}, "the file: 'samples' is not known here; known are stages, "),
        ({"stages": {"a": {**STAGE, "seed": 1}}}, "stages.a: 'seed' is not known here; known are seeds, images"),
        ({"stages": {"a": {**STAGE, "seeds": "x"}}}, "'x' is not a list of seeds"),
        ({"stages": {"a": {**STAGE, "images": "scenes:seed=1"}}}, "count is missing"),
        ({"stages": {"a": {**STAGE, "seeds": 0}}}, "seeds must be a text, not 0: put it in quotes"),
        ({"stages": {"a": STAGE}, "measure": {"samples": 0}}, "measure.samples must be above 0, not 0"),
        ({"stages": {"a": STAGE}, "resamples": 0}, "resamples must be at least 1, not 0"),
        (
            {"stages": {"a": {**STAGE, "seeds": "3-5"}, "b": {"seeds": "5,6", "images": "scenes:count=3"}}},
            "stages.b: seed 5 is one of a too",
        ),
        ({"stages": {"a": STAGE, "b": {**STAGE, "seeds": "1"}}}, "stages.b: has the images of a"),
        ({"stages": {"a": STAGE}, "target": {"guarded": ["qua"]}}, "target: 'qua' is no figure; there are truth, "),
        ({"stages": {"a": STAGE}, "target": {"alone": ["qa"]}}, "target.alone: 'qa' is none of target.higher"),
    ],
)
def test_a_protocol_that_is_none(tmp_path, found, message):
    file: Path = tmp_path / "protocol.yaml"
    file.write_text(yaml.safe_dump(found))
    with pytest.raises(ValueError, match=r"protocol\.yaml: ") as refused:
        read_protocol(file)
    assert message in str(refused.value)
