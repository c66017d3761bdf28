import pytest

from lightning_c3l.cli.trainer import C3LCLI, run_trainer

DEMO = "experiments/demo.yaml"


class Parsed(Exception):
    pass


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (f"fit --config {DEMO}", {}),
        # as the file and the defaults have them
        (f"fit --config {DEMO} --seed_everything 0 --i2c.reading answer", {}),
        # where a run lies is no property of it
        (f"fit --config {DEMO} --run.name other --trainer.default_root_dir x", {}),
        (f"fit --config {DEMO} --model.loss.contrastive_weight=0.25", {"model.loss.contrastive_weight": 0.25}),
        (
            f"fit --config {DEMO} --model.init_args.writing.sampling.temperature 1.5",
            {"model.writing.sampling.temperature": 1.5},
        ),
        (
            f"fit --config {DEMO} --config experiments/hardware/ddp2_cpu.yaml",
            {
                "trainer.devices": 2,
                "trainer.strategy": "ddp_find_unused_parameters_true",
                "trainer.precision": "32-true",
            },
        ),
        (f"fit --config {DEMO} --data.held_out null", {"data.held_out": None}),
        # a seed that nobody gave is the default
        ("fit --config {seedless} --i2c.margin 0.5", {"i2c.margin": 0.5}),
        # the file leaves the images to the command line: what was typed
        (
            "fit --config {half} --data.images scenes:count=4 --model.loss.contrastive_weight=0.5",
            {"data.images": "scenes:count=4", "model.loss.contrastive_weight": 0.5},
        ),
    ],
)
def test_options_that_are_not_those_of_the_experiment_file(words, changed, monkeypatch, tmp_path):
    half = tmp_path / "half.yaml"
    lvlm = "lvlm: {class_path: HuggingFaceLVLM, init_args: {path: 'shipped:scenes'}}"
    half.write_text(f"data: {{class_path: RoundDataModule}}\nmodel: {{class_path: C3LModule, init_args: {{{lvlm}}}}}\n")
    seedless = tmp_path / "seedless.yaml"
    seedless.write_text(
        half.read_text().replace("RoundDataModule", "RoundDataModule, init_args: {images: scenes:count=4}")
    )
    found = list[dict]()

    def stop(parser, config, *_):
        raise Parsed

    monkeypatch.setattr("lightning_c3l.cli.trainer.check", stop)
    monkeypatch.setattr("lightning_c3l.cli.trainer.shorten", lambda _: None)
    original = C3LCLI.before_instantiate_classes

    def watched(cli):
        try:
            original(cli)
        finally:
            found.append(cli.changed)

    monkeypatch.setattr(C3LCLI, "before_instantiate_classes", watched)
    with pytest.raises(Parsed):
        run_trainer(words.replace("{half}", str(half)).replace("{seedless}", str(seedless)).split())
    assert found == [changed]
