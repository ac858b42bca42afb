"""Planted causes of cell codes: are the drivers found, and decoys and hubs passed over?"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from rows import Row, row
from sklearn.decomposition import PCA

from scypher.interpret.faithfulness.ablation import ablation, cut_each_gene
from scypher.interpret.faithfulness.asked import Edges, sample_cells
from scypher.interpret.faithfulness.planted import Planted, plant, recovered
from scypher.kg.attention import attend

CELLS_PER_STATE = 25
SEEDS = 3
CODE_WIDTH = 8


def rows(data: Path, quick: bool) -> list[Row]:
    """Return what ablation and attention make of planted causes; ``data`` is not read."""
    seeds = range(1 if quick else SEEDS)
    embeddings = {"genes alone": _nothing, "genes and embedding": _components}
    lines = []
    for case, embed in embeddings.items():
        found = pd.concat([_recover(seed, embed) for seed in seeds], ignore_index=True)
        for order, part in found.groupby("order"):
            lines += _lines(f"planted causes, {case}, by {order}", part)
    return lines


def _nothing(planted: Planted) -> np.ndarray:
    return np.zeros((planted.tokens.shape[0], 1), np.float32)


def _components(planted: Planted) -> np.ndarray:
    dense = planted.tokens.toarray()
    return PCA(16, random_state=0).fit_transform(dense).astype(np.float32)


def _recover(seed: int, embed: Callable[[Planted], np.ndarray]) -> pd.DataFrame:
    """Return the recovery of one planted data set by ablation, attention and its lift."""
    rng = np.random.default_rng(seed)
    planted = plant(rng)
    present, codes = np.unique(planted.code, return_inverse=True)
    found = attend(
        embed(planted),
        tokens=planted.tokens,
        gene_features=np.zeros((planted.tokens.shape[1], 1), np.float32),
        codes=codes,
        codebook=rng.normal(size=(len(present), CODE_WIDTH)).astype(np.float32),
        metadata={"batch": planted.batch},
        generator=rng,
    )
    explained = planted.explained(found.genes.data)
    some = sample_cells(
        planted.state, per_state=CELLS_PER_STATE, at_most=len(planted.state), rng=rng
    )
    edges = Edges.of(explained, some)
    table = ablation(explained, edges, cut_each_gene(found.network, explained, edges))
    shape = (explained.n_states, planted.tokens.shape[1])
    mean = np.zeros(shape)
    mean[table["state"], table["gene"]] = table["attention"]
    lift = (mean - mean.mean(axis=0))[table["state"], table["gene"]]
    orders = {"ablation": table["drop"], "attention": table["attention"], "attention lift": lift}
    return pd.concat(
        [
            recovered(
                planted,
                table["state"].to_numpy(),
                table["gene"].to_numpy(),
                np.asarray(score, np.float64),
            ).assign(order=order)
            for order, score in orders.items()
        ]
    )


def _lines(case: str, found: pd.DataFrame) -> list[Row]:
    measures = {
        "states with a driver in the top 3": ((found["best_driver"] <= 3).mean(), 0.9),
        "states with every decoy below a driver": (
            (found["best_driver"] < found["best_decoy"]).mean(),
            0.9,
        ),
        "hubs not above the 95th percentile": (1 - found["hubs_above"].mean(), 0.95),
        "AUROC of drivers": (found["auroc"].mean(), 0.9),
    }
    return [
        row(
            case,
            measure,
            unit="AUROC" if measure.startswith("AUROC") else "share",
            ours=float(value),
            peer=nominal,
            peer_name="nominal",
        )
        for measure, (value, nominal) in measures.items()
    ]
