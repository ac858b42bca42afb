"""States over donors: is a spiked state found, and are the label sets of a new donor as said?"""

from pathlib import Path

import numpy as np
from rows import Row, row

from scypher.encoders.cells import prepare
from scypher.encoders.registry import get_encoder
from scypher.interpret.abundance import compare_abundance
from scypher.interpret.conformal import fit_conformal
from scypher.kg.metadata import read_metadata

N_STATES = 14
N_DONORS = 8
CARRIERS = 5
RATE = 0.01
MISASSIGNED = 0.001
LEVEL = 0.9
Q = 0.05


def rows(data: Path, quick: bool) -> list[Row]:
    """Return spiked states found beside 0.05, and coverage of left-out donors beside 0.9."""
    repeats = 50 if quick else 400
    lines = [
        line
        for n_cells, misassigned in ((400, MISASSIGNED), (1000, MISASSIGNED), (400, 0.0))
        for rate in (RATE, 0.0)
        for line in _spiked(rate, n_cells, misassigned, repeats=repeats)
    ]
    return lines + _coverage(data / "blood_kang_ifnb.h5ad")


def _spiked(rate: float, n_cells: int, misassigned: float, *, repeats: int) -> list[Row]:
    """Return how often the spiked state, and any other, is called present or shifted."""
    present, other, shifted = np.zeros(repeats), np.zeros(repeats), np.zeros(repeats)
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        state, condition, donor = spike(rng, rate, n_cells=n_cells, misassigned=misassigned)
        found = compare_abundance(
            state, condition, donor, n_states=N_STATES + 1, case=1, control=0, rng=rng
        )
        called = (found["presence_q"] < Q).to_numpy()
        present[seed], other[seed] = called[-1], called[:-1].any()
        shifted[seed] = (found["q"][:-1] < Q).any()
    case = (
        f"state spiked at {rate:.0%} in {CARRIERS} of {N_DONORS} donors of {n_cells} cells, "
        f"{misassigned:.1%} misassigned"
    )
    return [
        row(case, measure, unit="share", ours=float(value.mean()), peer=peer, peer_name=name)
        for measure, value, peer, name in (
            ("spiked state found", present, 1.0 if rate else Q, "wanted" if rate else "nominal"),
            ("repetitions with another state called present", other, Q, "nominal"),
            ("repetitions with another state called shifted", shifted, Q, "nominal"),
        )
    ]


def spike(
    rng: np.random.Generator, rate: float, *, n_cells: int, misassigned: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return state, condition and donor of cells: 8 case and 8 control donors that differ."""
    base = rng.dirichlet(np.full(N_STATES, 3.0))
    state, donor = [], []
    for number in range(2 * N_DONORS):
        size = int(rng.integers(round(0.6 * n_cells), round(1.4 * n_cells)))
        own = rng.choice(N_STATES, size, p=rng.dirichlet(60 * base))
        held = rng.random(size) < misassigned + (rate if number < CARRIERS else 0)
        state.append(np.where(held, N_STATES, own))
        donor.append(np.full(size, number))
    donors = np.concatenate(donor)
    return np.concatenate(state), (donors < N_DONORS).astype(int), donors


def _coverage(path: Path) -> list[Row]:
    """Return coverage and size of the label sets of donors left out one at a time."""
    cells = prepare(path)
    # A donor of this name is none: the source could not tell whose the cell is.
    obs = cells.adata.obs
    unassigned = (obs["donor"].astype(str) == "unassigned").to_numpy()
    metadata, _ = read_metadata(cells.adata, {})
    donors = np.where(unassigned, -1, metadata["donor"].values)
    truth = np.array([*metadata["cell_type"].labels, ""])[metadata["cell_type"].values]
    embedding = get_encoder("cellvq").encode(cells).embedding
    coverage, single, empty = [], [], []
    for donor in np.unique(donors[donors >= 0]):
        out = donors == donor
        found = fit_conformal(
            embedding[~out],
            truth[~out],
            donors=donors[~out],
            rng=np.random.default_rng(0),
            level=LEVEL,
        )
        sets = found.predict_sets(embedding[out])
        own = np.array([label in found.labels for label in truth[out]])
        column = np.searchsorted(found.labels, truth[out]).clip(max=len(found.labels) - 1)
        coverage.append((own & sets[np.arange(len(sets)), column]).mean())
        single.append((sets.sum(axis=1) == 1).mean())
        empty.append((sets.sum(axis=1) == 0).mean())
    case = f"{path.stem}, donors left out one at a time"
    return [
        row(case, measure, unit="share", ours=float(value), peer=peer, peer_name=name)
        for measure, value, peer, name in (
            ("coverage of label sets, mean", np.mean(coverage), LEVEL, "nominal"),
            ("coverage of label sets, lowest donor", np.min(coverage), LEVEL, "nominal"),
            ("coverage of label sets, highest donor", np.max(coverage), LEVEL, "nominal"),
            ("cells with one label", np.mean(single), 1.0, "all"),
            ("cells with none", np.mean(empty), 1 - LEVEL, "largest expected"),
        )
    ]
