"""The JSON files that stand beside weights."""

import json
from pathlib import Path
from typing import Any

from ..errors import InputError

_ARGUMENTS = {
    **dict.fromkeys(("n_heads", "num_heads"), "n_heads"),
    **dict.fromkeys(("whole", "long"), "whole"),
    **{name: name for name in ("clip", "n_patches", "width", "hidden", "n_layers", "max_tokens")},
}
"""Names in the arguments beside a published checkpoint -> fields of the configuration.

``clip`` and ``long`` are published; the others are the likely names of what the tensors do not
show, or show otherwise.
"""


def read_arguments(path: Path) -> dict[str, Any]:
    """Return what the arguments beside a checkpoint say in the words of the configuration.

    Empty without such a file; what the configuration has no word for is left out.
    """
    if not path.is_file():
        return {}
    given = read_json(path, "the arguments of the checkpoint")
    known = {_ARGUMENTS[name]: value for name, value in given.items() if name in _ARGUMENTS}
    # Switched off may stand as false or 0 there.
    if "clip" in known and not known["clip"]:
        known["clip"] = None
    return known


def read_tokens(path: Path, n_tokens: int) -> dict[str, int]:
    """Return the vocabulary of a published checkpoint, name -> token from 1 to ``n_tokens - 1``.

    Raises
    ------
    InputError
        There is no such file, or tokens repeat or are no rows of the gene table.
    """
    if not path.is_file():
        message = (
            f"there is no {path}; expected the vocabulary of the checkpoint beside it, a table of "
            "gene names and tokens. Copy gene2tok.json there."
        )
        raise InputError(message)
    tokens = read_json(path, "gene names and tokens")
    wrong = [
        f"{name}: {token!r}"
        for name, token in tokens.items()
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < n_tokens
    ]
    if wrong:
        message = (
            f"{path}: tokens that are no rows of the gene table: {', '.join(wrong[:5])} "
            f"({len(wrong)}); expected whole numbers from 1 to {n_tokens - 1}. Give the "
            "gene2tok.json of this checkpoint."
        )
        raise InputError(message)
    # Row 0 is padding, whatever name it may be listed under.
    kept = {name: token for name, token in tokens.items() if token}
    if len(set(kept.values())) < len(kept):
        message = (
            f"{path}: {len(kept)} names share {len(set(kept.values()))} tokens; expected one token "
            "each. Give the gene2tok.json of this checkpoint."
        )
        raise InputError(message)
    return kept


def read_json(path: Path, content: str) -> dict[str, Any]:
    """Return a JSON table; ``content`` says for the message what it should hold.

    Raises
    ------
    InputError
        The file is missing, no JSON, or holds another kind of value.
    """
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        message = (
            f"{path} cannot be read ({error}); expected a JSON table with {content}. Give a whole "
            "file."
        )
        raise InputError(message) from error
    if not isinstance(result, dict):
        message = f"{path} holds no table; expected a JSON table with {content}. Give another file."
        raise InputError(message)
    return result
