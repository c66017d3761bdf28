"""What the self-check chooses for each family."""

# family -> path on which it generates and scores
PATHS: dict[str, str] = {}
# where training steps take another
TRAINING: dict[str, str] = {}
# families that are refused -> words of the reason
REFUSED = {
    "blip-2": "missing 1 required positional argument: 'pixel_values'",
    "florence-2": "reads prompts with an encoder",
    "instructblip": "'pixel_values'",
    "pp-chart2table": "reads prompts with an encoder",
    "t5gemma-2": "reads prompts with an encoder",
}
