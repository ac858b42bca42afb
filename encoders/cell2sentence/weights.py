"""Read a GPT-NeoX checkpoint and its tokeniser: tensors and plain text, nothing else."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checkpoint import check_tensors, load_tensors, tensors_hash, without_prefixes
from ..errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FAMILY = "gpt_neox"

IGNORED = (
    r"(embed_out|lm_head)\.weight",  # predicts the next piece, which no embedding needs
    r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",  # constants once saved
    r"rotary_emb\.inv_freq",
)
"""Names, as patterns, of tensors that encoding does not need."""

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files with weights, the first that is there is read; no other file of a folder is opened."""

TEXT_FILES = ("config.json", "tokenizer.json")


class LanguageModel(NamedTuple):
    """A GPT-NeoX model without head, in evaluation mode, and its tokeniser."""

    model: nn.Module
    tokenizer: "Tokenizer"
    weights_hash: str
    width: int
    max_pieces: int


def load_language_model(source: str | Path) -> LanguageModel:
    """Read a GPT-NeoX checkpoint, such as those of Cell2Sentence.

    Parameters
    ----------
    source
        Folder with ``config.json``, ``tokenizer.json`` and weights (safetensors first, else
        ``pytorch_model.bin``); or ``owner/name`` of the Hugging Face hub, fetched only when there
        is no such path.

    Raises
    ------
    InputError
        transformers is not installed; there is no such folder; a file is missing or broken; the
        model is of another family; weights do not fit ``config.json`` or the tokeniser.
    """
    _require_transformers()
    folder = find_folder(source)
    config = _config(folder)
    model = _empty_model(config, folder)
    state = without_prefixes(_state(folder), ("module.", "gpt_neox."))
    needed = {
        name: value
        for name, value in state.items()
        if not any(re.fullmatch(pattern, name) for pattern in IGNORED)
    }
    expected = model.state_dict()
    what = f"GPT-NeoX (of the sizes in {folder / 'config.json'})"
    check_tensors(expected, needed, what=what, source=folder)
    needed = {name: needed[name].to(torch.float32) for name in expected}
    model.load_state_dict(needed, assign=True)
    # Its frequencies are no weights: they come from the configuration, and are still empty.
    model.rotary_emb = type(model.rotary_emb)(config=model.config)
    model.requires_grad_(False)
    tokenizer = _tokenizer(folder)
    n_pieces, n_rows = tokenizer.get_vocab_size(), int(config["vocab_size"])
    if n_pieces > n_rows:
        message = (
            f"{folder / 'tokenizer.json'} has {n_pieces} pieces, the weights embed {n_rows}; "
            "expected a tokeniser with no more. Give the one that the weights were trained with."
        )
        raise InputError(message)
    return LanguageModel(
        model.eval(),
        tokenizer,
        tensors_hash(needed),
        int(config["hidden_size"]),
        int(config.get("max_position_embeddings", 2048)),
    )


def find_folder(source: str | Path) -> Path:
    """Return the folder that a source means, fetched from the hub when it is a name there.

    Raises
    ------
    InputError
        It is neither a folder nor the name of a model, or cannot be fetched.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    owner = str(source).partition("/")[0]
    # A name whose first part is a folder here is a mistyped path: nothing is fetched for it.
    on_hub = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(source)) and not Path(owner).exists()
    if folder.exists() or not on_hub:
        message = (
            f"{source} is no folder; expected one with config.json, tokenizer.json and "
            "model.safetensors, or owner/name of a model on the Hugging Face hub. Give either."
        )
        raise InputError(message)
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                str(source), allow_patterns=[*TEXT_FILES, "model*.safetensors", WEIGHT_FILES[1]]
            )
        )
    # OSError covers what the network and the hub refuse, ValueError a name it cannot take.
    except (OSError, ValueError) as error:
        message = (
            f"{source} is no folder here and could not be fetched from the Hugging Face hub "
            f"({_first_line(error)}). Give a folder that holds the model."
        )
        raise InputError(message) from error


def _require_transformers() -> None:
    try:
        import tokenizers  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        message = (
            f"a language model was asked for and {error.name} is not installed; expected "
            'transformers. Run: pip install "scypher[language]".'
        )
        raise InputError(message) from error


def _config(folder: Path) -> dict[str, Any]:
    config = _json(folder / "config.json")
    family = config.get("model_type")
    if family != FAMILY:
        message = (
            f"{folder / 'config.json'} is of a model of type {family!r}; Cell2Sentence reads "
            f"{FAMILY!r} (Pythia) checkpoints. Give one of those."
        )
        raise InputError(message)
    return config


def _empty_model(config: dict[str, Any], folder: Path) -> Any:
    """Return the model without memory behind its tensors; attention weights can be read."""
    from transformers import GPTNeoXConfig, GPTNeoXModel

    try:
        made = GPTNeoXConfig.from_dict(dict(config))
        made._attn_implementation = "eager"
        with torch.device("meta"):
            model = GPTNeoXModel(made)
    # Its own checks raise many kinds, some of them no ValueError; the cause is kept.
    except Exception as error:
        message = (
            f"{folder / 'config.json'} does not describe a GPT-NeoX model ({_first_line(error)}); "
            "expected the configuration that came with the weights. Fetch it again."
        )
        raise InputError(message) from error
    return model


def _state(folder: Path) -> dict[str, Tensor]:
    found = next((name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if found is None:
        message = (
            f"{folder} holds no weights; expected {' or '.join(WEIGHT_FILES)}. Give the folder of "
            "a whole checkpoint."
        )
        raise InputError(message)
    names = [found]
    if found.endswith(".json"):
        shards = _json(folder / found).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            message = (
                f"{folder / found} lists no weight files; expected weight_map. Fetch it again."
            )
            raise InputError(message)
        # The bare name: a list of files must not lead out of the folder.
        names = sorted({Path(str(name)).name for name in shards.values()})
    state: dict[str, Tensor] = {}
    for name in names:
        part = load_tensors(folder / name)
        if not isinstance(part, dict):
            message = (
                f"{folder / name} holds a {type(part).__name__}; expected tensors by name. Save "
                "the state_dict of the model alone."
            )
            raise InputError(message)
        state.update(part)
    return state


def _tokenizer(folder: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"there is no {path}; expected the tokeniser of the weights. Put it there."
        raise InputError(message) from error
    # The library raises bare Exception for a file that it cannot parse; the cause is kept.
    except Exception as error:
        message = (
            f"{path} cannot be read as a tokeniser ({_first_line(error)}); expected the file that "
            "came with the weights. Fetch it again."
        )
        raise InputError(message) from error
    # A file may carry settings of its training; here every piece counts and none is added.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as JSON ({_first_line(error)}). Fetch it again."
        raise InputError(message) from error
    if not isinstance(content, dict):
        message = f"{path} holds a {type(content).__name__}; expected an object. Fetch it again."
        raise InputError(message)
    return content


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
