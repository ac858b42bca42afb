"""Every encoder whose card can be trained is trained by the same loop, and its weights encode."""

from pathlib import Path

import pytest

from scypher.encoders.registry import cards, get_encoder
from scypher.encoders.training.verbs import pretrain
from scypher.encoders.verbs import encode

SIZES = {
    "cellpatch": "n_patches = 4\nmax_tokens = 64",
    "cellvq": 'preset = "tiny"\nread_tokens = 64',
    "scdmc": 'preset = "tiny"\nwidth = 16\nn_layers = 1\nmax_tokens = 64\nqueue = 32',
}


@pytest.mark.parametrize("name", [name for name, card in cards().items() if card.pretrain])
def test_it_trains_saves_and_encodes(name: str, data_dir: Path, tmp_path: Path) -> None:
    cells = data_dir / "blood_pbmc68k_700.h5ad"
    config = tmp_path / "train.toml"
    config.write_text(
        f'encoder = "{name}"\ndata = ["{cells}"]\nout = "weights"\n'
        f"[model]\n{SIZES[name]}\n[training]\nepochs = 1\nblock = 64\nheld_out = 0.2\n"
    )
    history = pretrain(config)
    assert history[-1]["train"] > 0
    encoder = get_encoder(str(tmp_path / "weights"), adapt=False)
    encoded = encode(str(cells), encoder=str(tmp_path / "weights"), adapt=False)
    assert encoded.obsm[f"X_{encoder.name}"].shape[0] == 700
