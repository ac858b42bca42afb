"""What is called significant when conditions are exchanged within donors of blood_kang_ifnb.

Each of eight donors was measured under both conditions. Under the null the two conditions of a
donor are exchangeable: in every repetition they change places in a random half of the donors, drawn
anew, so that nothing but donors is left to be found. Counted is the share of all tested genes and
cell types with q < 0.05, and with p < 0.05, by the test with donors as replicates; beside it the
Wilcoxon test that takes cells for replicates.
"""

from pathlib import Path

import anndata
import numpy as np
from rows import Row, less

from scypher.encoders.cells import prepare
from scypher.encoders.counts import normalise
from scypher.interpret.inputs import groups_of
from scypher.interpret.markers.marker_statistics import adjust_known, marker_statistics

REPETITIONS, QUICK = 34, 4
NOMINAL = 0.05


def rows(data: Path, quick: bool) -> list[Row]:
    """Return the shares called significant, mean over repetitions."""
    cells = prepare(anndata.read_h5ad(data / "blood_kang_ifnb.h5ad"))
    values = normalise(cells.counts, cells.totals)
    types, label = groups_of(cells.adata, "cell_type")
    names, donor = groups_of(cells.adata, "donor")
    condition = groups_of(cells.adata, "condition")[1]
    values = values[:, np.flatnonzero(np.bincount(values.indices) >= 10)]
    rng = np.random.default_rng(0)
    shares = []
    repetitions = QUICK if quick else REPETITIONS
    for _ in range(repetitions):
        turned = np.zeros(len(names) + 1, dtype=np.int64)
        turned[rng.permutation(len(names))[: len(names) // 2]] = 1
        drawn = condition ^ turned[donor]
        p = {"p": [], "donor_p": []}
        for one in range(len(types)):
            own = (label == one) & (donor >= 0)
            detected = np.bincount(values[own].indices, minlength=values.shape[1]) >= 10
            table = marker_statistics(
                values[own][:, detected], drawn[own], 2, reference=0, donors=donor[own]
            )
            # Both tests are asked about the same genes and types.
            tested = table[table["donor_p"].notna()]
            for name, found in p.items():
                found.append(tested[name].to_numpy())
        every = {name: np.concatenate(found) for name, found in p.items()}
        shares.append(
            [((adjust_known(x) < NOMINAL).mean(), (x < NOMINAL).mean()) for x in every.values()]
        )
    cells_called, donors_called = np.mean(shares, axis=0)
    case = f"conditions exchanged within donors, {len(names)} donors, {repetitions} repetitions"
    return [
        less(
            *(case, f"share of tests with {what} < 0.05, {how}"),
            unit="share",
            ours=float(value),
            peer=NOMINAL,
            peer_name="nominal",
        )
        for how, found in (
            ("donors as replicates", donors_called),
            ("cells as replicates (Wilcoxon)", cells_called),
        )
        for what, value in zip("qp", found, strict=True)
    ]
