"""Names of every AnnData slot that Scypher writes, in one place."""

UNS = "scypher"
"""``uns`` key: format, and one dict per encoder (parameters, hashes, codebook, dropped genes)."""

COUNTS_LAYER = "counts"
"""Layer of raw counts, written where ``X`` holds something else."""


def code(name: str) -> str:
    """``obs``: cell code, categorical of decimal strings."""
    return f"{name}_code"


def code_probability(name: str) -> str:
    """``obs``: soft probability of the code, float32 in [0, 1]."""
    return f"{name}_code_prob"


def code_entropy(name: str) -> str:
    """``obs``: entropy of the soft assignment, float32, nats."""
    return f"{name}_code_entropy"


def code_second(name: str) -> str:
    """``obs``: second choice, categorical of decimal strings."""
    return f"{name}_code_2nd"


def embedding(name: str) -> str:
    """``obsm``: cell embedding, float32 (n_cells, width)."""
    return f"X_{name}"


def gene_embedding(name: str) -> str:
    """``varm``: gene embedding, float32 (n_genes, width); zeros for genes that are not read."""
    return f"{name}_genes"


def attention(name: str) -> str:
    """``layers``: CSR float32, attention x expressed genes of the cell; 1 = uniform."""
    return f"{name}_attention"
