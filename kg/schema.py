"""The graph schema, declared once as data.

Table definitions of the embedded store, constraints of Neo4j, the checks of
:class:`~scypher.kg.graph.Graph` and the schema page of the docs are generated from
:data:`NODES` and :data:`EDGES`. Every node has a unique string ``key``; a node that belongs to one
data set also has a ``dataset`` property, shared nodes (genes, metadata, gene sets, codes) have not.
"""

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 2
"""Rises with every change of the schema; a graph of a higher one is refused."""

Kind = Literal["string", "integer", "float", "boolean", "floats", "strings"]


@dataclass(frozen=True)
class Property:
    """One property of a node or an edge: name, kind of value, meaning with unit and range."""

    name: str
    kind: Kind
    doc: str


@dataclass(frozen=True)
class NodeType:
    """A node label with its properties, ``key`` first."""

    label: str
    doc: str
    key_doc: str
    extra: tuple[Property, ...] = ()
    owned: bool = False

    @property
    def properties(self) -> tuple[Property, ...]:
        """All properties, the key and the owner among them."""
        owner = (Property("dataset", "string", "key of the data set it belongs to"),)
        return (
            Property("key", "string", self.key_doc),
            *(owner if self.owned else ()),
            *self.extra,
        )


@dataclass(frozen=True)
class EdgeType:
    """An edge type with the label pairs it may join.

    ``identity`` names the properties that, with both ends, identify an edge: none for a type of
    which two nodes share at most one edge.
    """

    type: str
    doc: str
    pairs: tuple[tuple[str, str], ...]
    extra: tuple[Property, ...] = ()
    claim: bool = False
    identity: tuple[str, ...] = ()

    @property
    def properties(self) -> tuple[Property, ...]:
        """All properties; a claim carries its evidence last."""
        return (*self.extra, *(EVIDENCE if self.claim else ()))


def _text(name: str, doc: str) -> Property:
    return Property(name, "string", doc)


def _int(name: str, doc: str) -> Property:
    return Property(name, "integer", doc)


def _float(name: str, doc: str) -> Property:
    return Property(name, "float", doc)


STALE = _text("stale", "why it no longer holds of the cells in the graph, empty while it does")
"""What is marked when cells were removed that it was computed from."""

EVIDENCE = (
    _float("effect", "size of the effect; the method says of what"),
    _int("n_cells", "cells the claim rests on"),
    _int("n_donors", "donors the claim rests on; 0 when donors are unknown"),
    _float("p", "p value under the stated null, in (0, 1]"),
    _float("q", "Benjamini-Hochberg q value over all hypotheses of the same test, in (0, 1]"),
    _text("null", "the null hypothesis and how its distribution was obtained"),
    _text("method", "how effect and p were computed"),
    _text("dataset", "key of the data set"),
    _text("dataset_hash", "SHA-256 of the data that the claim was computed from"),
    _text("encoder_hash", "SHA-256 of the encoder weights in use, adapted ones included"),
    _text("code_version", "version of Scypher that computed it"),
    STALE,
)

METADATA = {
    "cell_type": "CellType",
    "tissue": "Tissue",
    "disease": "Disease",
    "sex": "Sex",
    "age": "AgeGroup",
    "donor": "Donor",
    "batch": "Batch",
    "condition": "Condition",
}
"""Field of the data -> label of its nodes."""

METADATA_EDGES = {
    "CellType": "ANNOTATED_AS",
    "Tissue": "FROM_TISSUE",
    "Disease": "HAS_DISEASE",
    "Sex": "HAS_SEX",
    "AgeGroup": "HAS_AGE",
    "Donor": "FROM_DONOR",
    "Batch": "FROM_BATCH",
    "Condition": "UNDER_CONDITION",
}
"""Label of a metadata node -> type of the edge that leads to it from a cell."""


def _metadata_node(field: str, label: str) -> NodeType:
    # A donor or a batch named "1" in two data sets is not the same one.
    scope = "<dataset>:" if field in ("donor", "batch") else ""
    return NodeType(
        label,
        f"A value of the {field.replace('_', ' ')} annotation.",
        f"ontology term id where known, else `{field}:{scope}<label>`",
        (
            _text("label", "the label as given"),
            _text("ontology_id", "ontology term id, empty where unknown"),
        ),
    )


NODES = (
    NodeType(
        "Dataset",
        "One AnnData file as it was read, with the parameters of the run.",
        "name of the data set",
        (
            _text("content_hash", "SHA-256 of counts, cell and gene names and used annotations"),
            _text("source", "name of the file"),
            _text("encoder", "name of the encoder"),
            _text("encoder_hash", "SHA-256 of the encoder weights in use, adapted ones included"),
            _text("parameters", "parameters of the run, as JSON"),
            _text("quality", "measures of codes and states beside their baselines, as JSON"),
            _text("faithfulness", "tests of what attention explains, and its training, as JSON"),
            _text("notes", "what was left out, mapped or skipped, as JSON list of sentences"),
            _text("code_version", "version of Scypher that built it"),
            _int("n_cells", "cells in the graph"),
            _int("n_genes", "measured genes: the universe of every enrichment"),
            Property(
                "excluded_donors", "strings", "SHA-256 of `<dataset>:<label>` of donors left out"
            ),
            STALE,
        ),
    ),
    NodeType(
        "Cell",
        "One cell that passed the checks.",
        "`<dataset>:<barcode>`",
        (
            _text("barcode", "name of the cell in the file"),
            _float("library_size", "sum of counts"),
            _int("n_genes", "genes with at least one count"),
            _float("mitochondrial", "share of counts in mitochondrially encoded genes, [0, 1]"),
            _float("x", "first coordinate of the 2-d map, no unit"),
            _float("y", "second coordinate of the 2-d map, no unit"),
        ),
        owned=True,
    ),
    NodeType(
        "Code",
        "A cell code: one entry of the encoder's codebook.",
        "`<first 12 digits of the encoder hash>:<index>`",
        (
            _int("index", "index in the codebook, from 0"),
            _text("bits", "binary vector the codebook entry is generated from"),
            Property("vector", "floats", "codebook vector, unit length"),
            _float("usage", "share of the cells of the data set with this code, [0, 1]"),
        ),
    ),
    NodeType(
        "State",
        "A group of codes that the data cannot tell apart; states nest.",
        "`<dataset>:<state>`",
        (
            _text("name", "short name: S1, S2, … by size; S1.1, S1.2, … inside S1"),
            _int("level", "1 for coarse states, 2 for the states inside them"),
            _int("size", "number of cells"),
            _int("n_donors", "donors with cells here; 0 when donors are unknown"),
            _text("label", "most frequent label of its cells, empty without labels"),
            _float("label_share", "share of its cells with that label, [0, 1]"),
            Property(
                "label_set", "strings", "labels that conformal prediction cannot rule out, sorted"
            ),
            _float("label_confidence", "conformal confidence in the label, [0, 1], or none"),
            _text(
                "label_outcome",
                "label, ambiguous or abstain by conformal prediction; not tested without labels",
            ),
            _float("stability", "mean best-match Jaccard index over resampled cells, [0, 1]"),
            Property(
                "embedding",
                "floats",
                "mean of the embeddings of its cells by the encoder, unit length, or none",
            ),
            STALE,
        ),
        owned=True,
    ),
    NodeType(
        "Gene",
        "A gene.",
        "Ensembl id, else `symbol:<name as given>`",
        (
            _text("symbol", "approved symbol, else the name as given"),
            _text("ensembl_id", "Ensembl id, empty where unknown"),
            _text("gene_class", "class by annotation, such as protein_coding or ribosomal"),
            Property("embedding", "floats", "gene embedding of the pretrained encoder, or none"),
        ),
    ),
    *(_metadata_node(field, label) for field, label in METADATA.items()),
    NodeType(
        "Module",
        "Genes that move together in a context.",
        "`<dataset>:<module>`",
        (
            _text("name", "short name: M1, M2, … by size"),
            _int("size", "number of genes"),
            _text("context", "cells it was found in: `all` or the key of a state"),
            _float("stability", "mean best-match Jaccard index over seeds, [0, 1]"),
            _float("donor_stability", "the same over halves of the donors, none below 4 donors"),
            _float("mean_weight", "mean correlation among its genes, [-1, 1]"),
            _float("null_weight", "that of random genes of like mean and detection"),
            _float("null_p", "p that such genes reach it, (b + 1) / (B + 1)"),
            _float("null_q", "Benjamini-Hochberg q of it over all modules"),
            _int("n_cells", "cells it was found in"),
            STALE,
        ),
        owned=True,
    ),
    NodeType(
        "GeneSet",
        "A published set of genes.",
        "`<library>:<name>`",
        (
            _text("name", "name in the library"),
            _text("library", "name of the file without its suffix"),
            _text("version", "first 12 digits of the SHA-256 of the file"),
            _text("source", "description or address given in the file"),
            _int("size", "genes in the set"),
            _int("n_measured", "genes of the set that were measured"),
        ),
    ),
)

EDGES = (
    EdgeType("MEASURES", "Universe of the data set.", (("Dataset", "Gene"),)),
    EdgeType(
        "HAS_CODE",
        "Discretisation of a cell.",
        (("Cell", "Code"),),
        (
            _float("probability", "soft probability of the code, [0, 1]"),
            _float("entropy", "entropy of the soft assignment, nats"),
            _int("second", "index of the second choice"),
        ),
    ),
    EdgeType("IN_STATE", "Membership, at each level.", (("Cell", "State"), ("Code", "State"))),
    EdgeType("PART_OF", "A state inside a coarser one.", (("State", "State"),)),
    *(
        EdgeType(edge, "Annotation of a cell as given.", (("Cell", label),))
        for label, edge in METADATA_EDGES.items()
    ),
    EdgeType(
        "EXPRESSES",
        "Top genes of a cell.",
        (("Cell", "Gene"),),
        (
            _float("value", "log1p of counts per 10,000"),
            _int("rank", "rank within the cell, 1 = highest"),
        ),
    ),
    EdgeType(
        "EXPRESSES",
        "Expression of a gene in a state.",
        (("State", "Gene"),),
        (
            _float("mean", "mean of log1p of counts per 10,000"),
            _float("detected", "share of cells with a count, [0, 1]"),
            _int("n", "cells of the state"),
            STALE,
        ),
    ),
    EdgeType(
        "ATTENDS_TO",
        "Top attended genes of a cell.",
        (("Cell", "Gene"),),
        (
            _float("encoder", "attention of the encoder x expressed genes; 1 = uniform"),
            _float("graph", "graph attention x in-degree; 1 = uniform; none if not in the graph"),
        ),
    ),
    EdgeType(
        "ATTENDS_TO",
        "Mean graph attention of the cells of a state to a metadata value.",
        tuple(("State", label) for label in METADATA.values()),
        (
            _float("weight", "mean attention x in-degree over its cells that have the value"),
            _float("lift", "weight over that of the other states"),
            _float("z", "z of the weight under the permutation null"),
        ),
        claim=True,
    ),
    EdgeType(
        "MARKED_BY",
        "A gene marks a state or a cell type.",
        (("State", "Gene"), ("CellType", "Gene")),
        (
            _int("rank", "rank in the group by consensus of attention and expression, 1 = best"),
            _float("attention_lift", "mean attention in the group over mean attention elsewhere"),
            _float("attention_z", "z of the attention score under the permutation null"),
            _float("attention_p", "permutation p of the attention score, never 0"),
            _float("attention_q", "Benjamini-Hochberg q of it over all genes and groups"),
            _int("attention_rank", "rank by attention alone"),
            _float("matched_z", "z of the lift among genes of like mean and detection"),
            _float("matched_q", "Benjamini-Hochberg q of it over all genes and groups"),
            _float(
                "rewired_z", "z of the lift under degree-preserving rewiring of cells and genes"
            ),
            _float("rewired_q", "Benjamini-Hochberg q of it over all genes and groups"),
            _text(
                "attention_says",
                "explains if the attention of the graph passed its tests of faithfulness, else "
                "associated",
            ),
            _float("auroc", "area under the ROC curve of the gene for the group, [0, 1]"),
            _float("log2_fold_change", "log2 ratio of mean counts per 10,000, in over out"),
            _float("detected_in", "share of cells of the group with a count, [0, 1]"),
            _float("detected_out", "share of other cells with a count, [0, 1]"),
            _float("expression_p", "two-sided Wilcoxon rank-sum p with tie correction"),
            _float("expression_q", "Benjamini-Hochberg q of it over all genes and groups"),
            _int("expression_rank", "rank by expression alone"),
            _int("donors_agreeing", "donors in which the gene is higher inside than outside"),
            _text(
                "verdict",
                "supported, expression_only, attention_only, or unsupported when neither test "
                "reaches q 0.05",
            ),
        ),
        claim=True,
        identity=("dataset",),
    ),
    EdgeType(
        "CO_REGULATED_WITH",
        "Two genes co-vary in a context; stored once, from the lower key to the higher.",
        (("Gene", "Gene"),),
        (
            _text("context", "`all` or the key of a state"),
            _float("correlation", "Pearson correlation of log expression, [-1, 1]"),
            _float("correlation_z", "z under the null"),
            _float("correlation_q", "Benjamini-Hochberg q over all tested pairs"),
            _float("attention", "Pearson correlation of attention over cells, [-1, 1]"),
            _float("attention_z", "z under the null"),
            _float("attention_q", "Benjamini-Hochberg q over all tested pairs"),
        ),
        claim=True,
        identity=("dataset", "context"),
    ),
    EdgeType(
        "MEMBER_OF",
        "A gene belongs to a module.",
        (("Gene", "Module"),),
        (_float("strength", "mean correlation with the other genes of the module, [-1, 1]"), STALE),
    ),
    EdgeType(
        "REGULATES",
        "A transcription factor acts on a gene, by a resource; what the data say stands beside it.",
        (("Gene", "Gene"),),
        (
            _text("context", "`all` or the key of a state"),
            _int("sign", "1 activates, -1 represses, 0 not known"),
            _text("resource", "name of the file without its suffixes"),
            _text("resource_version", "first 12 digits of the SHA-256 of the file"),
            _text("confidence", "as the resource gives it, or empty"),
            _text("pmids", "references as the resource gives them, or empty"),
            _float("correlation", "Pearson correlation of log expression, [-1, 1]"),
            _float("correlation_z", "z under the null"),
            _float("correlation_q", "Benjamini-Hochberg q over the tested links of the resource"),
            _text("sign_agrees", "yes or no where q < 0.05 and the sign is known, else empty"),
        ),
        claim=True,
        identity=("dataset", "context", "resource"),
    ),
    EdgeType(
        "ENRICHED_IN",
        "The genes of a module, or the markers of a state or cell type, over-represent a set.",
        (("Module", "GeneSet"), ("State", "GeneSet"), ("CellType", "GeneSet")),
        (
            _text(
                "of", "genes asked about: markers, members, or genes that rise under a condition"
            ),
            _int("overlap", "genes in both"),
            _int("set_size", "measured genes of the set"),
            _int("query_size", "genes asked about"),
            _int("universe", "measured genes"),
            _float("odds_ratio", "odds ratio of the overlap"),
            Property("genes", "strings", "symbols of the genes in both, sorted"),
        ),
        claim=True,
        identity=("dataset", "of"),
    ),
    EdgeType(
        "SHIFTS",
        "A gene changes between two conditions within a state or cell type.",
        (("State", "Gene"), ("CellType", "Gene")),
        (
            _text("condition", "the condition asked about"),
            _text("reference", "the condition it is compared with"),
            _int("rank", "rank in the group, 1 = best"),
            _float("log2_fold_change", "log2 ratio of mean counts per 10,000, over the reference"),
            _float("mean", "mean counts per 10,000 under the condition"),
            _float("mean_reference", "mean counts per 10,000 under the reference"),
            _int("donors_agreeing", "donors in which the gene changes in that direction"),
            _float("attention_difference", "mean attention over that under the reference"),
            _float("attention_q", "Benjamini-Hochberg q of it"),
        ),
        claim=True,
        identity=("dataset", "condition", "reference"),
    ),
    EdgeType(
        "DIFFERS_IN",
        "A state is more or less frequent under a condition or disease than under another.",
        (("State", "Condition"), ("State", "Disease")),
        (
            _text("reference", "label of the value it is compared with"),
            _float("share", "mean share of the cells of a donor"),
            _float("share_reference", "the same under the reference"),
            _float("donors_with", "donors that have the state, where it is rare in the reference"),
            _float("donors_with_reference", "the same under the reference"),
            _float("presence_p", "p that fewer than two donors have it, where it is rare there"),
            _float("presence_q", "Benjamini-Hochberg q of it over all states asked"),
        ),
        claim=True,
        identity=("reference",),
    ),
    EdgeType(
        "FLIPS_WITHOUT",
        "Cutting a gene from the cells of a state changes their codes.",
        (("State", "Gene"),),
        (
            _float("flipped", "share of cells whose code changes, [0, 1]"),
            _float("state_flipped", "share of cells whose state changes, [0, 1]"),
            _float("null_mean", "mean share of changed codes when matched genes are cut, [0, 1]"),
            _float("z", "z of the share under that null"),
            _text("goes_to", "key of the state to which most of them go, empty if none goes"),
            _float("to_share", "share of the flipped cells that go there, [0, 1]"),
        ),
        claim=True,
    ),
    EdgeType(
        "INTERMEDIATE_BETWEEN",
        "A state lies between two others; one edge to each of the two.",
        (("State", "State"),),
        (
            _text("other", "key of the other end"),
            _float("connectivity", "the smaller of its connectivities to both"),
            _float("soft", "mean soft probability of its cells for this end, [0, 1]"),
            _float("doublet_score", "mean doublet score of its cells, [0, 1]"),
            _float("library_ratio", "median library size over the sum of those of both ends"),
            _float("mixture_r2", "share of its profile that a mixture of both ends explains"),
            _float("mixture_spread", "spread of its mixing coefficients over that of doublets"),
            _int("own_genes", "genes higher in it than in any other state"),
            _text("verdict", "certified, or provisional where donors are unknown or too few"),
            _text("reason", "what stands against it or could not be tested, empty if nothing"),
        ),
        claim=True,
        identity=("other",),
    ),
    EdgeType(
        "MONOTONE_ALONG",
        "A gene rises or falls through an intermediate state, from one of its ends to the other.",
        (("State", "Gene"),),
        (
            _text("first", "key of the end it starts from, the lower of both"),
            _text("second", "key of the end it leads to"),
            _float("rho", "Spearman correlation with the place on the path, [-1, 1]"),
            _int("donors_agreeing", "donors in which it has that sign"),
        ),
        claim=True,
        identity=("first", "second"),
    ),
    EdgeType(
        "COMMUNICATES_WITH",
        "A state may talk to another, or to itself, by a ligand and a receptor.",
        (("State", "State"),),
        (
            _text("ligand", "symbols of the ligand, subunits joined by _"),
            _text("receptor", "symbols of the receptor, subunits joined by _"),
            Property("ligand_genes", "strings", "keys of the genes of the ligand"),
            Property("receptor_genes", "strings", "keys of the genes of the receptor"),
            _text("pathway", "pathway as the pair table says, or empty"),
            _float("score", "geometric mean of the state means of both, log1p counts per 10,000"),
            _float("specificity", "score over its mean over all ordered two states; 1 = no more"),
            _float("ligand_detected", "share of cells of the source with the ligand, [0, 1]"),
            _float("receptor_detected", "share of cells of the target with the receptor, [0, 1]"),
            _float("decoy_p", "p that a pair of genes expressed alike is as specific anywhere"),
            _float("decoy_q", "false discovery rate of it over all pairs, in (0, 1]"),
            _int("donors_agreeing", "donors in which the score is above its mean over states"),
            _float("donor_p", "one-sided sign-flip p over donors, none below 5 donors"),
            _text("verdict", "supported (q and decoy_q below 0.05) or specific_only (q alone)"),
        ),
        claim=True,
        identity=("ligand", "receptor"),
    ),
    EdgeType(
        "CONNECTED_TO",
        "Neighbourhood of two states; stored once, from the lower key to the higher.",
        (("State", "State"),),
        (
            _float("connectivity", "neighbour edges between both over those expected at random"),
            STALE,
        ),
    ),
)

_NODES = {node.label: node for node in NODES}


def node_type(label: str) -> NodeType:
    """Return the declaration of a node label; ``KeyError`` if there is none."""
    return _NODES[label]


def edge_type(source: str, type: str, target: str) -> EdgeType:
    """Return the declaration of an edge table; ``KeyError`` if there is none."""
    for edge in EDGES:
        if edge.type == type and (source, target) in edge.pairs:
            return edge
    raise KeyError((source, type, target))


def edge_tables() -> list[tuple[str, str, str]]:
    """Return every declared (source label, type, target label), in order of declaration."""
    return [(source, edge.type, target) for edge in EDGES for source, target in edge.pairs]
