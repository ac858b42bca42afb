"""A graph as AnnData and back.

Every table stands in one place only, so that what is changed there is changed in the graph::

    obs             properties of cells; code, state_1, state_2, cell_type, … as categoricals
    obsm['X_map']   x and y of the map
    var             properties of genes; varm['embedding'] their embedding
    X               Cell-EXPRESSES-Gene: value; layers['rank'] the rank
    layers          Cell-ATTENDS_TO-Gene: encoder_attention, graph_attention
    uns['scypher']  content_hash, layout (JSON), tables: all others as data frames by name

An edge table from cells stands in ``obs`` where every cell has at most one edge (a state: one per
level), else under ``tables``. Matrices are CSR; an entry that is stored is an edge, be it 0.
"""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from .cell_columns import CellColumns, read_cell_columns, write_cell_columns
from .columns import as_matrix, from_matrix, refuse
from .frames import read_frame, write_frame
from .matrices import MATRICES, read_matrices, write_matrices

if TYPE_CHECKING:
    import anndata

UNS, MAP, EMBEDDING = "scypher", "X_map", "embedding"
FORMAT = 1


def to_anndata(graph: Graph) -> "anndata.AnnData":
    """Return the graph as AnnData with cells in rows and genes in columns (see the module).

    Scanpy plots it: ``sc.pl.embedding(adata, basis="map", color="state_1")``. A file that
    ``write_h5ad`` makes of it holds all that the graph holds.
    """
    import anndata

    cells = graph.nodes.get("Cell", pd.DataFrame({"key": [], "x": [], "y": []}))
    genes = graph.nodes.get("Gene", pd.DataFrame({"key": [], "embedding": []}))
    layout: dict[str, Any] = {"format": FORMAT, "tables": list(graph.counts())}
    obs, layout["obs"] = write_frame(cells.drop(columns=["x", "y"]), "Cell")
    columns, layout["cells"] = write_cell_columns(graph)
    matrix = as_matrix(genes["embedding"])
    layout["varm"] = matrix is not None
    var, layout["var"] = write_frame(
        genes.drop(columns="embedding") if matrix is not None else genes, "Gene"
    )
    x, layers = write_matrices(graph)
    tables, layout["frames"] = {}, {}
    apart = {"Cell", "Gene", *map("-".join, MATRICES), *layout["cells"]}
    for name, frame in graph.nodes.items():
        if name not in apart:
            tables[name], layout["frames"][name] = write_frame(frame, name)
    for key, frame in graph.edges.items():
        if (name := "-".join(key)) not in apart:
            tables[name], layout["frames"][name] = write_frame(frame, name, graph.nodes)
    return anndata.AnnData(
        X=x,
        obs=pd.concat([obs.set_index("key"), columns.set_axis(obs["key"])], axis=1),
        var=var.set_index("key"),
        obsm={MAP: cells[["x", "y"]].to_numpy(np.float64)},
        varm={EMBEDDING: matrix} if matrix is not None else {},
        layers=layers,
        uns={
            UNS: {
                "content_hash": graph.content_hash(),
                "layout": json.dumps(layout),
                "tables": tables,
            }
        },
    )


def from_anndata(adata: "anndata.AnnData", *, check: bool = True) -> Graph:
    """Return the graph of what :func:`to_anndata` returned, also after a file.

    Parameters
    ----------
    adata
        The object; columns, layers and the like that were added are left alone.
    check
        Whether it must be as it was written. Without, changes go into the graph, and edges to
        cells and genes that were cut off go with them.

    Raises
    ------
    InputError
        The object was not made by :func:`to_anndata`, lacks a part, was changed although
        ``check`` is set, or is no valid graph after the changes.
    """
    held = adata.uns.get(UNS, {})
    if "layout" not in held or "content_hash" not in held:
        refuse(
            "The AnnData object holds no graph: uns['scypher'] has no layout; an object that "
            "to_anndata() made was expected. Build a graph from cells by scypher.build()."
        )
    layout = json.loads(str(held["layout"]))
    if layout["format"] != FORMAT:
        refuse(
            f"The AnnData object has format {layout['format']}; {FORMAT} was expected. "
            "Read it with the version of Scypher that wrote it."
        )
    try:
        graph = _read(adata, layout, dict(held["tables"]) if "tables" in held else {})
    except KeyError as error:
        refuse(
            f"The AnnData object lacks {error}, which to_anndata() wrote; the parts of a graph "
            "were expected to be left in. Convert the graph again."
        )
    if check and graph.content_hash() != str(held["content_hash"]):
        refuse(
            "The AnnData object was changed since to_anndata() made it: its content hash is "
            f"{graph.content_hash()}, {held['content_hash']} was expected. Use the unchanged "
            "object, or check=False to take the changes over."
        )
    return graph


def _read(adata: "anndata.AnnData", layout: dict[str, Any], frames: dict[str, Any]) -> Graph:
    present = layout["tables"]
    nodes: dict[str, pd.DataFrame] = {}
    edges: dict[EdgeKey, pd.DataFrame] = {}
    cells = read_frame(adata.obs.rename_axis("key").reset_index(), "Cell", layout["obs"])
    cells = cells.assign(x=adata.obsm[MAP][:, 0], y=adata.obsm[MAP][:, 1])
    genes = read_frame(adata.var.rename_axis("key").reset_index(), "Gene", layout["var"])
    if layout["varm"]:
        genes["embedding"] = from_matrix(adata.varm[EMBEDDING])
    for name in present:
        if name == "Cell":
            nodes[name] = cells
        elif name == "Gene":
            nodes[name] = genes
        elif "-" not in name:
            nodes[name] = read_frame(frames[name], name, layout["frames"][name])
    found = read_matrices(adata, present)
    for name, frame in frames.items():
        if name in present and "-" in name:
            found[name] = read_frame(frame, name, layout["frames"][name], nodes)
    described: dict[str, CellColumns] = layout["cells"]
    found |= read_cell_columns(adata.obs, described, nodes)
    for name in present:
        if "-" in name:
            source, type_, target = name.split("-")
            edges[(source, type_, target)] = found[name]
    return Graph(nodes, edges)
