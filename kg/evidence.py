"""Evidence: what every claim in the graph carries."""

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Source:
    """Where claims come from.

    Attributes
    ----------
    dataset
        Key of the data set.
    dataset_hash
        SHA-256 of the data.
    encoder_hash
        SHA-256 of the encoder weights in use.
    """

    dataset: str
    dataset_hash: str
    encoder_hash: str


def with_evidence(
    claims: pd.DataFrame,
    source: Source,
    *,
    effect: np.ndarray,
    p: np.ndarray,
    q: np.ndarray,
    n_cells: np.ndarray | int,
    n_donors: np.ndarray | int,
    null: str | pd.Series,
    method: str,
) -> pd.DataFrame:
    """Return claims with the evidence columns of :data:`scypher.kg.schema.EVIDENCE`.

    Parameters
    ----------
    claims
        One row per claim.
    source
        Data and encoder.
    effect, p, q, n_cells, n_donors
        Per claim; see the schema for ranges.
    null, method
        The null hypothesis and how p was obtained, for all claims or for each; how effect and p
        were computed.
    """
    return claims.assign(
        effect=effect,
        n_cells=n_cells,
        n_donors=n_donors,
        p=p,
        q=q,
        null=null,
        method=method,
        dataset=source.dataset,
        dataset_hash=source.dataset_hash,
        encoder_hash=source.encoder_hash,
        code_version=version("scypher"),
        stale="",
    )
