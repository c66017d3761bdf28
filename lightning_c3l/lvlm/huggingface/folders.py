"""Files of a checkpoint folder: whether they are there, whole, and of the kind that transformers loads."""

import json
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.hub import GGUF
from lightning_c3l.runs.weight_files import LFS_POINTER, is_lfs_pointer, require_safetensors

# what else a folder may hold in place of safetensors weights
_OTHER_WEIGHTS = {
    "*.gguf": GGUF,
    "*.bin": "weights as pickles (.bin), which can run code when they are loaded; save them as safetensors (with "
    "transformers: from_pretrained, then save_pretrained) if you trust their source",
    "*.pth": "weights as pickles (.pth), in a format of their own; take a version of the model for transformers",
    "*.h5": "weights for TensorFlow; take the safetensors weights",
    "onnx/*.onnx": "weights for ONNX; take the safetensors weights",
    "*.safetensors": "shards without their index (model.safetensors.index.json); copy or download it",
}
_PROCESSOR = ("processor_config.json", "preprocessor_config.json")
# with a vocabulary
_TOKENIZER = ("tokenizer.json", "*.model", "vocab.*", "*.tiktoken", "tekken.json")


def local_folder(path: str) -> Path | None:
    """Folder of a checkpoint on this disk: itself, or the downloaded snapshot of a Hub name; None if there is none."""
    if Path(path).is_dir():
        return Path(path)
    try:
        found = try_to_load_from_cache(path, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def weight_files(path: str) -> list[Path]:
    """The safetensors files that transformers reads; a folder may hold others as well.

    Args:
        path: folder or Hub name; no files are listed of a checkpoint that is not on this disk.

    Raises:
        LVLMError: if their index is damaged.
    """
    folder = local_folder(path)
    if folder is None:
        return []
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        return sorted(file for file in folder.glob("*.safetensors") if file.is_file())
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        names = {str(Path(name)) for name in content["weight_map"].values()}
        # transformers needs it too
        if not names or not isinstance(content["metadata"], dict):
            raise ValueError("no weights")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LVLMError(f"{index}: is not an index of weight files; copy or download it again") from error
    if outside := sorted(name for name in names if ".." in Path(name).parts or Path(name).is_absolute()):
        raise LVLMError(f"{index}: names a file outside of its folder: {outside[0]}")
    return [folder / name for name in sorted(names)]


def require_weight_files(path: str) -> None:
    """Check that the weight files are there and whole; those of a Hub name, as far as they are downloaded.

    Raises:
        LVLMError: if a file is missing, damaged, or in another format than safetensors.
    """
    files = weight_files(path)
    try:
        for file in files:
            if Path(path).is_dir() and not file.is_file():
                raise LVLMError(f"{file}: is missing, but the index of the weights names it; copy or download it")
            if file.is_file():
                require_safetensors(file)
    except (ValueError, OSError) as error:
        raise LVLMError(str(error)) from error
    folder = Path(path)
    indexed = any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json"))
    if not folder.is_dir() or indexed:
        return
    other = next((what for pattern, what in _OTHER_WEIGHTS.items() if any(folder.glob(pattern))), "")
    raise LVLMError(f"{path}: no model.safetensors in this folder" + (f", but {other}" if other else ""))


def file_problem(path: str) -> str:
    """Which file of a checkpoint is missing or damaged, after loading it has failed; empty if none is.

    Args:
        path: folder or Hub name.
    """
    folder = local_folder(path)
    if folder is None:
        return ""
    for file in sorted(folder.glob("*.json")):
        if is_lfs_pointer(file):
            return f"{file.name} {LFS_POINTER}"
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError) as error:
            return f"{file.name} is no whole JSON file ({error}); copy or download it again"
        if file.name == "config.json" and not isinstance(found, dict):
            return "config.json holds no options (a JSON object); copy or download it again"
    for what, names in (("processor", _PROCESSOR), ("tokenizer", _TOKENIZER)):
        if not any(any(folder.glob(name)) for name in names):
            remedy = "copy its files from the model that it was tuned from"
            # a Hub name is here as far as it was downloaded
            return f"has no {what} (such as {names[0]}); {remedy if Path(path).is_dir() else f'hf download {path}'}"
    return ""
