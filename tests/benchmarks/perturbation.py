"""In-silico removal of a gene against real knock-outs, beside trivial baselines.

perturb_crispr_thp1: THP-1 cells under interferon gamma, 299 genes. On the control cells alone
(guides that target nothing) each of IFNGR1, IFNGR2, JAK2 and STAT1 that was measured is removed,
and every other gene is ranked by how much it is predicted to fall: by the difference of attention,
by that of decoded expression, and by its z beside matched genes. Truth are the cells with a guide
against the gene: log2 fold change over control, and genes that fall at 1 % FDR (Wilcoxon). Beside
them: co-expression with the removed gene in control cells (Pearson of log expression, absolute as
peer; signed, as a row of its own), mean expression, and chance. Ranks are of the genes known to
fall (1 = predicted to fall most, of those measured less the removed gene). Where a Spearman
correlation is negative its ratio means nothing: compare the values.
The library size of the panel is not known: counts are scaled by the sum over its 299 genes.

    python tests/benchmarks/perturbation.py --data DIR [--quick] [--json]
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from rows import Row, less, row, show
from scipy.stats import rankdata, spearmanr

from scypher.encoders.cells import Cells, prepare
from scypher.encoders.counts import normalise
from scypher.encoders.registry import get_encoder
from scypher.interpret.markers.marker_statistics import marker_statistics
from scypher.interpret.perturbation.changes import perturb

TARGETS = ("IFNGR1", "IFNGR2", "JAK2", "STAT1")
FALLING = ("PSMB9", "STAT1", "UBE2L6")
CONTROL = "non-targeting"
FDR = 0.01
PEERS = {
    "co-expression": "co-expression, |Pearson|",
    "mean expression": "mean expression",
    "chance": "chance",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="In-silico removal against knock-outs.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--quick", action="store_true", help="fewer cells and matched genes")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    given = parser.parse_args()
    data = anndata.read_h5ad(given.data / "perturb_crispr_thp1.h5ad")
    show(list(compare(data, quick=given.quick)), as_json=given.json)


def compare(data: anndata.AnnData, *, quick: bool) -> Iterator[Row]:
    """Yield the rows of every target."""
    guide = data.obs["perturbation"].astype(str).to_numpy()
    control = data[guide == CONTROL]
    cells = prepare(control[: len(control) // 3] if quick else control)
    started = time.perf_counter()
    encoder = get_encoder("cellvq")
    encoding = encoder.encode(cells, seed=0)
    readable = np.abs(encoding.gene_embedding).sum(axis=1) > 0
    names = [str(name) for name in cells.genes["symbol"]]
    values = normalise(cells.counts, cells.totals).toarray()
    for target in TARGETS:
        case = f"{target} removed, {len(cells.totals):,} control cells"
        if target not in names:
            measure = f"not measured (one of {data.n_vars} genes), cannot be cut or correlated"
            yield row(case, measure, unit="", ours=0, peer=0, peer_name="co-expression")
            continue
        gene = names.index(target)
        if not readable[gene]:
            measure = "not read by the encoder, cannot be cut"
            yield row(case, measure, unit="", ours=0, peer=0, peer_name="")
            continue
        found = perturb(
            encoder.fitted,
            cells.counts,
            np.array([gene]),
            groups=np.zeros(len(cells.totals), dtype=np.int64),
            state_of_code=np.zeros(len(encoding.codebook), dtype=np.int64),
            rng=np.random.default_rng(0),
            readable=readable,
            n_null=19 if quick else 49,
            max_cells=100 if quick else 400,
        )
        true = truth(data, guide, target, cells)
        kept = np.flatnonzero(readable & (np.arange(len(names)) != gene))
        shift = found.shifts.iloc[0]
        yield row(
            case,
            f"shift of the embedding (Euclid), p {shift['euclid_p']:.3g}",
            unit="",
            ours=float(shift["euclid"]),
            peer=float(shift["euclid_null_mean"]),
            peer_name="mean of matched genes",
        )
        yield from judge(
            f"{case}, {int((true['falls'].to_numpy()[kept]).sum())} of {len(kept)} genes fall",
            predictions(found.genes, values, gene),
            true,
            kept=kept,
            names=names,
        )
    seconds = time.perf_counter() - started
    yield row("all targets", "time", unit="s", ours=seconds, peer=0, peer_name="")


def truth(data: anndata.AnnData, guide: np.ndarray, target: str, cells: Cells) -> pd.DataFrame:
    """Return log2 fold change and whether a gene falls, by knock-out cells against control."""
    chosen = np.isin(guide, (CONTROL, target))
    part = data[chosen, list(cells.adata.var_names)]
    counts = part.X.tocsr().astype(np.float32)
    totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    groups = (guide[chosen] == target).astype(np.int64)
    table = marker_statistics(normalise(counts, totals), groups, 2, reference=0)
    table = table.sort_values("gene").reset_index(drop=True)
    table["falls"] = (table["q"] <= FDR) & (table["log2_fold_change"] < 0)
    return table


def predictions(table: pd.DataFrame, values: np.ndarray, gene: int) -> dict[str, np.ndarray]:
    """Return for each way how much every gene is predicted to fall, by position."""
    ours = table.set_index("gene").reindex(np.arange(values.shape[1]))
    with np.errstate(invalid="ignore", divide="ignore"):
        pearson = np.corrcoef(values, rowvar=False)[gene]
    pearson = np.nan_to_num(pearson)
    return {
        "attention difference": -ours["attention_change"].fillna(0).to_numpy(),
        "decoded difference": -ours["expression_change"].fillna(0).to_numpy(),
        "decoded z": -ours["expression_z"].fillna(0).to_numpy(),
        "signed co-expression": pearson,
        "co-expression": np.abs(pearson),
        "mean expression": values.mean(axis=0),
    }


def judge(
    case: str,
    predicted: dict[str, np.ndarray],
    true: pd.DataFrame,
    *,
    kept: np.ndarray,
    names: list[str],
) -> Iterator[Row]:
    """Yield ranks of the known genes, Spearman and AUROC of each of ours beside each peer.

    Spearman is over all genes, of the predicted fall with the fall of log2 mean expression.
    """
    falls = true["falls"].to_numpy()[kept]
    change = true["log2_fold_change"].to_numpy()[kept]
    known = {name: names.index(name) for name in FALLING if name in names}
    places = {name: int(np.flatnonzero(kept == at)[0]) for name, at in known.items() if at in kept}
    measured: dict[str, dict[str, float]] = {}
    for way, score in predicted.items():
        rank = rankdata(-score[kept])
        measured[way] = {
            **{f"rank of {name}": float(rank[place]) for name, place in places.items()},
            "Spearman of predicted and true fall": float(spearmanr(score[kept], -change)[0]),
            "AUROC of the genes that fall": auroc(score[kept], falls),
        }
    measured["chance"] = {
        **{f"rank of {name}": (len(kept) + 1) / 2 for name in places},
        "AUROC of the genes that fall": 0.5,
    }
    for way in ("attention difference", "decoded difference", "decoded z", "signed co-expression"):
        for measure, value in measured[way].items():
            told = less if measure.startswith("rank") else row
            for peer, name in PEERS.items():
                if measure not in measured[peer]:
                    continue
                other = measured[peer][measure]
                text = f"{measure}, {way}"
                yield told(case, text, unit="", ours=value, peer=other, peer_name=name)


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve, NaN where no gene, or every gene, falls."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


if __name__ == "__main__":
    main()
