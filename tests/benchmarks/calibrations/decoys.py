"""What is called communication where there is none: decoys of the LIANA consensus pairs.

Each gene of each pair is exchanged for one of the ten genes of like mean and detection over cells
(not over groups, as the test itself matches them), among genes that the test would take; decoys
that are known partners are drawn again. They are judged as pairs are: q with labels permuted and q
beside matched pairs, both below 0.05. The share with a label q alone below 0.05 is no error rate:
decoys are expressed by some groups more than by others too. 20 draws (3 when quick) on
lr_blood_tonsil_204genes (a panel) and blood_kang_ifnb (all genes); the true pairs stand below.
"""

import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from rows import Row, less, row

from scypher.interpret.communication.groups import communicate
from scypher.interpret.communication.ligand_receptor import PairGenes, locate_pairs, read_pairs
from scypher.interpret.communication.scores import group_profiles
from scypher.interpret.inputs import groups_of, log_expression

DRAWS, QUICK = 20, 3
NOMINAL = 0.05
NEAR, NEAREST = 30, 10
DETECTED = 0.1
MOST_SECONDS = 60.0
SETS = (("lr_blood_tonsil_204genes", "total_counts_all_genes"), ("blood_kang_ifnb", None))


def rows(data: Path, quick: bool) -> list[Row]:
    """Return the shares called, mean over draws."""
    pairs = read_pairs(data / "knowledge" / "lr_liana_consensus.tsv.gz")
    out = []
    for name, totals in SETS:
        adata = anndata.read_h5ad(data / f"{name}.h5ad")
        values = log_expression(adata, totals=totals)
        labels, groups = groups_of(adata, "cell_type")
        donors = groups_of(adata, "donor")[1]
        found = locate_pairs(pairs, adata.var_names.tolist())
        rng = np.random.default_rng(0)
        mean = np.asarray(values.mean(axis=0)).ravel()
        detected = np.asarray((values > 0).mean(axis=0)).ravel()
        shares_in = group_profiles(values[groups >= 0], groups[groups >= 0], len(labels))[1]
        among = np.flatnonzero(shares_in.max(axis=0) >= DETECTED)
        shares, seconds = [], []
        for number in range(1 + (QUICK if quick else DRAWS)):
            # The first are the pairs themselves.
            asked = decoys(found, mean, detected, among, rng) if number else found
            start = time.perf_counter()
            table = communicate(
                values, groups, len(labels), asked, donors=donors, known=found, rng=rng
            )
            seconds.append(time.perf_counter() - start)
            shares.append(_shares(table))
        out.append(
            less(
                f"{name}, {len(labels)} types, {len(found)} pairs, 1,000 permutations",
                "time",
                unit="s",
                ours=float(np.median(seconds)),
                peer=MOST_SECONDS,
                peer_name="limit",
            )
        )
        for measure in shares[0]:
            decoy = float(np.mean([share[measure] for share in shares[1:]]))
            for what, ours in (("decoys", decoy), ("pairs", shares[0][measure])):
                out.append(
                    row(
                        f"{name}, {what}",
                        measure,
                        unit="share",
                        ours=ours,
                        peer=NOMINAL,
                        peer_name="nominal",
                    )
                )
    return out


def decoys(
    pairs: PairGenes,
    mean: np.ndarray,
    detected: np.ndarray,
    among: np.ndarray,
    rng: np.random.Generator,
) -> PairGenes:
    """Return pairs with each gene exchanged for one alike, none of them a known partner."""
    known = {
        (int(a), int(b))
        for ligand, receptor in zip(pairs.ligand, pairs.receptor, strict=True)
        for a in ligand[ligand >= 0]
        for b in receptor[receptor >= 0]
    }
    known |= {(b, a) for a, b in known}
    near = np.full((len(mean), NEAREST), -1)
    order = among[np.argsort(mean[among], kind="stable")]
    for place, gene in enumerate(order):
        start = min(max(place - NEAR // 2, 0), len(order) - NEAR - 1)
        window = order[start : start + NEAR + 1]
        window = window[window != gene]
        by_detection = np.argsort(np.abs(detected[window] - detected[gene]), kind="stable")
        near[gene] = window[by_detection[:NEAREST]]
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for ligand, receptor in zip(pairs.ligand, pairs.receptor, strict=True):
        if (near[np.concatenate([ligand[ligand >= 0], receptor[receptor >= 0]])] < 0).any():
            continue
        for _ in range(100):
            a = near[ligand, rng.integers(NEAREST, size=len(ligand))]
            b = near[receptor, rng.integers(NEAREST, size=len(receptor))]
            a, b = np.where(ligand < 0, -1, a), np.where(receptor < 0, -1, b)
            genes = [int(gene) for gene in (*a, *b) if gene >= 0]
            partners = any((int(x), int(y)) in known for x in a for y in b)
            if len(set(genes)) == len(genes) and not partners:
                sides[0].append(a)
                sides[1].append(b)
                break
    return PairGenes(np.array(sides[0]), np.array(sides[1]))


def _shares(table: pd.DataFrame) -> dict[str, float]:
    by_pair = table.groupby("pair")["decoy_p"].min()
    called = table["verdict"] == "supported"
    return {
        "share of claims supported": float(called.mean()),
        "share of pairs supported anywhere": float(called.groupby(table["pair"]).any().mean()),
        f"share of pairs with decoy p < {NOMINAL} anywhere": float((by_pair < NOMINAL).mean()),
        f"share of claims with label q < {NOMINAL}": float((table["q"] < NOMINAL).mean()),
    }
