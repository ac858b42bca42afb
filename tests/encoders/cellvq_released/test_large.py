"""A checkpoint of the published size: loads and encodes in bounded memory."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scypher.encoders.cellvq_released.codes import digits
from scypher.encoders.cellvq_released.config import CodeSizes, Sizes
from scypher.encoders.cellvq_released.model import PublishedModel

HEADS = {"cell_type": 831, "tissue": 377, "disease": 150, "sex": 3, "age": 184}
MOST_GIB = 6.0

RUN = """
import resource, sys, time
import torch
from dataclasses import replace
from scypher.encoders.cells import prepare
from scypher.encoders.registry import get_encoder

torch.set_num_threads(1)
cells = prepare(sys.argv[2])
cells = replace(cells, adata=cells.adata[:8], counts=cells.counts[:8])
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
encoder = get_encoder(f"cellvq-released:{sys.argv[1]}")
loaded = time.perf_counter()
encoding = encoder.encode(cells)
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"data alone {before / 2**20:.2f} GiB, load {loaded - start:.1f} s, 8 cells of "
      f"{encoding.notes[0]}: {done - loaded:.1f} s")
print(encoding.embedding.shape, encoding.codebook.shape, encoding.code)
print(peak / 2**20)
"""


def write_full_size(path: Path) -> None:
    """Write random weights of the published layout and size, one mode."""
    codes = CodeSizes(12, 32, 1024, 6, normed=True)
    sizes = Sizes(19_264, 768, 3072, 100, 12, heads=12, codes=codes)
    with torch.device("meta"):
        expected = PublishedModel(sizes).state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.empty(value.shape).normal_(0, 0.03, generator=generator)
        for name, value in expected.items()
    }
    state["cell_vq.embedding"] = digits(12)
    for name, value in state.items():
        if name.endswith("running_var") or ("norm" in name and name.endswith("weight")):
            value.abs_().add_(1)
    for name, classes in HEADS.items():
        state[f"{name}.weight"] = torch.zeros(classes, 3072)
        state[f"{name}.bias"] = torch.zeros(classes)
    encoder = {"hidden_dim": 768, "depth": 12, "heads": 12, "module_type": "transformer"}
    config = {"seq_len": 19_266, "encoder": encoder, "bin_num": 100, "bin_alpha": 1.0}
    torch.save({"config": config, "m1": state}, path)


@pytest.mark.skipif(
    not os.environ.get("SCYPHER_TEST_LARGE"),
    reason="writes 2 GB and takes minutes; set SCYPHER_TEST_LARGE=1 to run",
)
def test_the_published_size_fits_into_memory(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_full_size(path)
    source = data_dir / "knowledge" / "vocab_scfoundation_19264.tsv.gz"
    target = tmp_path / "OS_scRNA_gene_index.19264.tsv"
    with gzip.open(source, "rb") as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    try:
        command = [sys.executable, "-c", RUN, str(path), str(data_dir / "blood_pbmc3k.h5ad")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        path.unlink()
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < MOST_GIB
