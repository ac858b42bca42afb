"""Likeness of embeddings by numpy."""

import numpy as np
import pandas as pd


def nearest(vectors: pd.Series, key: str) -> pd.Series:
    """Return cosines of all other vectors of the same size, nearest first, by numpy."""
    mine = np.array(vectors[key])
    known = vectors.drop(key).dropna()
    known = known[[len(vector) == len(mine) and any(vector) for vector in known]]
    matrix = np.array(known.tolist())
    cosine = matrix @ mine / np.linalg.norm(matrix, axis=1) / np.linalg.norm(mine)
    found = pd.DataFrame({"key": known.index, "cosine": cosine})
    return found.sort_values(["cosine", "key"], ascending=[False, True]).set_index("key")["cosine"]
