"""From checked input to the tables of a graph: every stage of the main job, in order."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from ..encoders import slots
from ..encoders.base import Encoding, Progress, Recode, read_slots
from ..encoders.cells import Cells
from ..encoders.counts import normalise
from ..encoders.registry import get_encoder
from ..encoders.verbs import encode_cells
from ..kg.build import Parts, add_claims, build_graph, to_json
from ..kg.evidence import Source
from ..kg.graph import Graph
from ..kg.metadata import Metadata
from ..kg.neighbours import find_neighbours
from ..kg.states import States, find_states
from .claims import (
    Claims,
    abundance_claims,
    cells_of_modules,
    communication_claims,
    donors_of,
    enrichment_claims,
    flip_claims,
    marker_claims,
    metadata_claims,
    module_claims,
    path_claims,
    regulation_claims,
    shift_claims,
    values_of,
)
from .code_health import check_codes
from .conformal import fit_conformal, state_labels
from .faithfulness import Explained, faithfulness_card, retrainer
from .options import Given, Options
from .quality import measure_quality
from .variable_genes import select_genes

if TYPE_CHECKING:
    from ..kg.attention import GraphAttention

N_TOKENS = 128
"""Genes of highest z-score that a cell is joined to in the graph attention."""

N_VARIABLE = 2000
"""Most variable genes among which those tokens are chosen."""

_NO_MARKERS = pd.DataFrame({"source": [], "target": [], "rank": [], "log2_fold_change": []}).astype(
    {"source": int, "target": int}
)

ASSOCIATED = "associated"
"""What attention says until its tests are passed."""


def assemble(given: Given, options: Options, progress: Progress) -> tuple[Graph, list[str]]:
    """Return the graph of checked input, with all claims, and notes for the user."""
    cells, metadata = given.cells, given.metadata
    notes = list(given.notes)
    encoding, recode = _encode(cells, options, notes, progress)
    with _step("neighbours and map", progress):
        neighbours = find_neighbours(encoding.embedding, seed=options.seed)
        states = find_states(encoding.code, neighbours.connectivities, seed=options.seed)
    values = normalise(cells.counts, cells.totals)
    attention = _attend(cells, encoding, metadata, options, progress)
    rng = np.random.default_rng(options.seed)
    labels = _labels(encoding, metadata, states, notes, rng)
    parts = Parts(given.name, cells, encoding, metadata, states, neighbours, attention, labels)
    faithfulness = _judge(parts, values, options, notes, progress)
    source = Source(given.name, given.content_hash, encoding.weights_hash)
    with _step("markers", progress):
        markers, groups = marker_claims(
            parts, values, source, rng, attention_says=faithfulness["verdict"]
        )
    with _step("counterfactuals", progress):
        marked = markers.edges.get(("State", "MARKED_BY", "Gene"), _NO_MARKERS)
        flips, told = flip_claims(parts, marked, recode, source, rng)
        notes += told
    with _step("metadata", progress):
        attended, told = metadata_claims(parts, source, rng)
        notes += told
    with _step("conditions", progress):
        shifts, shifted, told = shift_claims(parts, values, source, rng)
        notes += told
        abundance, told = abundance_claims(parts, source, rng)
        notes += told
    talk = Claims()
    if given.pairs is not None:
        with _step("communication", progress):
            talk, told = communication_claims(parts, values, given.pairs, source, rng)
            notes += told
    with _step("intermediate states", progress):
        paths, told = path_claims(parts, values, source, rng)
        notes += told
    with _step("modules", progress):
        modules, module_groups = module_claims(parts, values, source, rng)
    regulation = Claims()
    if given.regulons:
        with _step("regulation", progress):
            regulation = regulation_claims(parts, values, given.regulons, source, rng)
    with _step("enrichment", progress):
        asked = groups + module_groups + shifted
        enriched = enrichment_claims(
            parts, asked, given.libraries, source, _sizes(parts, cells_of_modules(parts, modules))
        )
    health = check_codes(
        encoding.code,
        len(encoding.codebook),
        rng=rng,
        donors=donors_of(parts),
        batches=values_of(parts, "batch"),
    )
    notes += [f"cell codes: {alarm}" for alarm in health.alarms]
    edges = markers.edges
    marker_table = edges.get(
        ("CellType", "MARKED_BY", "Gene"), edges.get(("State", "MARKED_BY", "Gene"))
    )
    quality = measure_quality(parts, values, marker_table, seed=options.seed)
    parts.properties.update(
        content_hash=given.content_hash,
        encoder=options.encoder,
        parameters=given.parameters,
        quality=to_json(quality | {"code_alarms": health.alarms}),
        faithfulness=to_json(faithfulness | {"training": _training(attention)}),
        notes=to_json(notes),
        code_version=version("scypher"),
        excluded_donors=list(given.excluded),
    )
    graph = build_graph(parts)
    for claims in (markers, flips, attended, shifts, abundance, talk, paths, modules):
        graph = add_claims(graph, claims.nodes, claims.edges)
    for claims in (regulation, enriched):
        graph = add_claims(graph, claims.nodes, claims.edges)
    return graph, notes


def has_encoding(cells: Cells, options: Options) -> bool:
    """Return whether the data hold an encoding by the chosen encoder."""
    return options.encoder in cells.adata.uns.get(slots.UNS, {})


@contextmanager
def _step(what: str, progress: Progress) -> Iterator[None]:
    progress(what, 0, 1)
    yield
    progress(what, 1, 1)


def _encode(
    cells: Cells, options: Options, notes: list[str], progress: Progress
) -> tuple[Encoding, Recode | None]:
    """Return the encoding found in the data, or that of the encoder, and what encodes again.

    Notes are added to.
    """
    recode: Recode | None = None
    if has_encoding(cells, options):
        encoding = read_slots(cells.adata, options.encoder)
        notes.append("the encoding found in the data was used")
    else:
        encoder = get_encoder(options.encoder, adapt=options.adapt)
        encoding = read_slots(
            encode_cells(cells, encoder, seed=options.seed, progress=progress), encoder.name
        )
        recode = encoder.fitted
    notes += encoding.notes
    return encoding, recode


def _labels(
    encoding: Encoding,
    metadata: Mapping[str, Metadata],
    states: States,
    notes: list[str],
    rng: np.random.Generator,
) -> pd.DataFrame | None:
    """Return conformal labels of states, ``None`` without two labels; notes are added to."""
    found = metadata.get("cell_type")
    if found is None or len(found.labels) < 2:
        return None
    donor = metadata.get("donor")
    conformal = fit_conformal(
        encoding.embedding,
        np.array([*found.labels, ""])[found.values],
        donors=None if donor is None else donor.values,
        rng=rng,
    )
    if conformal.note:
        notes.append(f"labels of states: {conformal.note}")
    return state_labels(
        conformal.own_sets, conformal.labels, states.cell, n_states=len(states.table)
    )


def _judge(
    parts: Parts,
    values: sparse.csr_matrix,
    options: Options,
    notes: list[str],
    progress: Progress,
) -> dict[str, Any]:
    """Return the record of the faithfulness card; notes are added to."""
    network = parts.attention.network
    if network is None or not options.faithfulness:
        notes.append("attention: what it explains was not tested, so it is only associated")
        return {"verdict": ASSOCIATED, "rows": []}
    card = faithfulness_card(
        network,
        Explained.of(parts, values),
        train=retrainer(network),
        rng=np.random.default_rng(options.seed),
        progress=progress,
    )
    return card.record()


def _training(attention: "GraphAttention") -> dict[str, list[Any]]:
    """Return the curve of training by column, ``None`` for ``NaN``."""
    return {
        str(name): [None if pd.isna(value) else value for value in column.tolist()]
        for name, column in attention.history.items()
    }


def _sizes(parts: Parts, of_modules: np.ndarray) -> dict[str, np.ndarray]:
    """Return the number of cells behind every node that enrichment is asked of."""
    sizes = {
        "State": parts.states.table["size"].to_numpy(),
        "Module": of_modules,
    }
    labels = values_of(parts, "cell_type")
    if labels is not None:
        sizes["CellType"] = np.bincount(labels[labels >= 0])
    return sizes


def _attend(
    cells: Cells,
    encoding: Encoding,
    metadata: dict[str, Metadata],
    options: Options,
    progress: Progress,
) -> "GraphAttention":
    """Train graph attention; the cell type is never an input."""
    from ..kg.attention import GraphAttention, attend, informative_tokens

    values = normalise(cells.counts, cells.totals)
    # Among all genes the highest z-scores are single counts of rare ones: chance, not state.
    tokens = informative_tokens(
        values, cells.genes, n_tokens=N_TOKENS, candidates=select_genes(values, N_VARIABLE)
    )
    generator = np.random.default_rng(options.seed)
    if options.attention == "clique":
        from ..kg.clique import attend_clique

        found = attend_clique(
            encoding.embedding,
            tokens=tokens,
            gene_features=encoding.gene_embedding,
            counts=cells.counts,
            generator=generator,
            progress=progress,
        )
        return GraphAttention(found.genes, found.metadata, found.embedding, found.history)
    present, codes = np.unique(encoding.code, return_inverse=True)
    return attend(
        encoding.embedding,
        tokens=tokens,
        gene_features=encoding.gene_embedding,
        codes=codes,
        codebook=encoding.codebook[present],
        metadata={
            field: found.values
            for field, found in metadata.items()
            if field != "cell_type" and len(found.labels) > 1
        },
        generator=generator,
        progress=progress,
    )
