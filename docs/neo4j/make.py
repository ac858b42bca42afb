"""Write the files for users of Neo4j that follow from the schema and the queries.

``python docs/neo4j/make.py`` writes ``style.grass`` (colours, sizes and captions of Neo4j Browser),
``saved-queries.zip`` (the queries, to be dropped onto Neo4j Browser) and ``biocypher.yaml`` (a
schema configuration of BioCypher with classes of Biolink) beside itself.
"""

import io
import json
import zipfile
from pathlib import Path

from scypher.kg.queries import Parameter, QueryFile, list_queries
from scypher.kg.schema import EDGES, METADATA, NODES, EdgeType, NodeType, edge_tables, edge_type

HERE = Path(__file__).parent

NODE_STYLES = {
    # label: colour, diameter in px, property of the caption
    "Dataset": ("#4E5A65", 80, "key"),
    "Cell": ("#A0CBE8", 25, "barcode"),
    "Code": ("#86BCB6", 40, "index"),
    "State": ("#E15759", 65, "name"),
    "Gene": ("#59A14F", 50, "symbol"),
    "CellType": ("#F28E2B", 60, "label"),
    "Tissue": ("#9C755F", 50, "label"),
    "Disease": ("#B07AA1", 50, "label"),
    "Sex": ("#D7B5A6", 40, "label"),
    "AgeGroup": ("#BAB0AC", 40, "label"),
    "Donor": ("#D37295", 50, "label"),
    "Batch": ("#79706E", 40, "label"),
    "Condition": ("#EDC948", 50, "label"),
    "Module": ("#4E79A7", 60, "name"),
    "GeneSet": ("#499894", 55, "name"),
}

DARK_ON = {"Cell", "Code", "Sex", "AgeGroup", "Condition"}
"""Labels whose colour is light: their captions are dark."""

EDGE_COLOURS = {
    "MARKED_BY": "#E15759",
    "CO_REGULATED_WITH": "#59A14F",
    "REGULATES": "#8CD17D",
    "ENRICHED_IN": "#499894",
    "ATTENDS_TO": "#F28E2B",
    "EXPRESSES": "#76B7B2",
    "SHIFTS": "#B07AA1",
    "DIFFERS_IN": "#EDC948",
    "COMMUNICATES_WITH": "#86BCB6",
    "FLIPS_WITHOUT": "#D37295",
    "INTERMEDIATE_BETWEEN": "#4E79A7",
    "MONOTONE_ALONG": "#9C755F",
}
PLAIN = "#A5ABB6"

BIOLINK = {
    # label: name of the class for BioCypher, class of Biolink that it is or that it stands under
    "Dataset": ("dataset", "dataset"),
    "Cell": ("measured cell", "material sample"),
    "Code": ("cell code", "information content entity"),
    "State": ("cell state", "cell"),
    "Gene": ("gene", "gene"),
    "CellType": ("cell", "cell"),
    "Tissue": ("gross anatomical structure", "gross anatomical structure"),
    "Disease": ("disease", "disease"),
    "Sex": ("biological sex", "biological sex"),
    "AgeGroup": ("life stage", "life stage"),
    "Donor": ("individual organism", "individual organism"),
    "Batch": ("measurement batch", "procedure"),
    "Condition": ("experimental condition", "exposure event"),
    "Module": ("gene module", "information content entity"),
    "GeneSet": ("gene set", "information content entity"),
}

ASSOCIATIONS = {
    # type: class of Biolink that the association stands under; "association" where none fits
    "MEASURES": "information content entity to named thing association",
    "HAS_CODE": "association",
    "IN_STATE": "association",
    "PART_OF": "anatomical entity part of anatomical entity association",
    "EXPRESSES": "association",
    "ATTENDS_TO": "association",
    "MARKED_BY": "association",
    "CO_REGULATED_WITH": "gene to gene coexpression association",
    "MEMBER_OF": "association",
    "REGULATES": "gene to gene association",
    "ENRICHED_IN": "association",
    "SHIFTS": "association",
    "DIFFERS_IN": "association",
    "COMMUNICATES_WITH": "association",
    "FLIPS_WITHOUT": "association",
    "INTERMEDIATE_BETWEEN": "anatomical entity to anatomical entity association",
    "MONOTONE_ALONG": "association",
    "CONNECTED_TO": "anatomical entity to anatomical entity association",
}
"""Edges from a cell to its metadata are plain associations."""

KINDS = {
    "string": "str",
    "integer": "int",
    "float": "float",
    "boolean": "bool",
    "floats": "float[]",
    "strings": "str[]",
}

EXAMPLES = (
    # word in the description of a parameter: value to be replaced by the reader
    ("state", "S1"),
    ("module", "M1"),
    ("barcode", "AAACATACAACCAC-1"),
    ("gene", "CD3E"),
    ("code", "0"),
)


def files() -> dict[str, bytes]:
    """Return the content of every file by its name."""
    return {
        "style.grass": style().encode(),
        "saved-queries.zip": saved_queries(),
        "biocypher.yaml": biocypher().encode(),
    }


def style() -> str:
    """Return the style of Neo4j Browser; its format knows no comments."""
    rules = [_rule("node", diameter="50px", **_colours(PLAIN, "#FFFFFF"), caption='"{key}"')]
    for node in NODES:
        colour, diameter, caption = NODE_STYLES[node.label]
        text = "#2A2C34" if node.label in DARK_ON else "#FFFFFF"
        rules.append(
            _rule(
                f"node.{node.label}",
                diameter=f"{diameter}px",
                **_colours(colour, text),
                caption=f'"{{{caption}}}"',
            )
        )
    rules.append(_edge_rule("relationship", PLAIN, 1))
    claims = {edge.type for edge in EDGES if edge.claim}
    for type_ in dict.fromkeys(edge.type for edge in EDGES):
        colour = EDGE_COLOURS.get(type_, PLAIN)
        rules.append(_edge_rule(f"relationship.{type_}", colour, 3 if type_ in claims else 1))
    return "\n".join(rules)


def _colours(colour: str, text: str) -> dict[str, str]:
    return {"color": colour, "border_color": colour, "text_color_internal": text}


def _edge_rule(selector: str, colour: str, width: int) -> str:
    return _rule(
        selector,
        color=colour,
        shaft_width=f"{width}px",
        font_size="8px",
        padding="3px",
        text_color_external="#2A2C34",
        text_color_internal="#FFFFFF",
        caption='"<type>"',
    )


def _rule(selector: str, **values: str) -> str:
    lines = "".join(f"  {name.replace('_', '-')}: {value};\n" for name, value in values.items())
    return f"{selector} {{\n{lines}}}\n"


def saved_queries() -> bytes:
    """Return an archive with one file per query, the same bytes for the same queries."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for query in list_queries():
            # A fixed time: an archive made again must not differ.
            entry = zipfile.ZipInfo(f"Scypher/{query.name}.cypher", (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, saved_query(query))
    return sink.getvalue()


def saved_query(query: QueryFile) -> str:
    """Return a query as Neo4j Browser keeps it: the first line is its name there."""
    lines = [f"// {query.question}"]
    if query.parameters:
        lines.append("// Set these first, each in a line of its own:")
    for item in query.parameters:
        value = json.dumps(_value(item), ensure_ascii=False)
        lines += [f"// {item.name}: {item.doc}", f"//   :param {item.name} => {value}"]
    body = [line for line in query.text.splitlines() if not line.startswith("//")]
    return "\n".join([*lines, *body]).rstrip() + "\n"


def _value(item: Parameter) -> object:
    if item.default is not None:
        return item.default
    return next((value for word, value in EXAMPLES if word in item.doc), "T cell")


def biocypher() -> str:
    """Return the schema configuration of BioCypher: one entry per label and per edge table."""
    entries = [_node_entry(node) for node in NODES]
    entries += [_edge_entry(key, edge_type(*key)) for key in edge_tables()]
    return "Title: Scypher\n\n" + "\n".join(entries)


def _node_entry(node: NodeType) -> str:
    name, under = BIOLINK[node.label]
    properties = [(item.name, item.kind) for item in node.properties if item.name != "key"]
    return _entry(
        name,
        under,
        ("represented_as: node", f"input_label: {node.label}"),
        properties,
    )


def _edge_entry(key: tuple[str, str, str], edge: EdgeType) -> str:
    source, type_, target = key
    metadata = source == "Cell" and target in METADATA.values()
    return _entry(
        f"{BIOLINK[source][0]} {type_.lower().replace('_', ' ')} {BIOLINK[target][0]}",
        "association" if metadata else ASSOCIATIONS[type_],
        (
            "represented_as: edge",
            f"input_label: {source}-{type_}-{target}",
            f"label_as_edge: {type_}",
            f"source: {BIOLINK[source][0]}",
            f"target: {BIOLINK[target][0]}",
        ),
        [(item.name, item.kind) for item in edge.properties],
    )


def _entry(name: str, under: str, lines: tuple[str, ...], properties: list[tuple[str, str]]) -> str:
    head = (f"is_a: {under}",) if name != under else ()
    text = f"{name}:\n" + "".join(f"  {line}\n" for line in (*head, *lines))
    if properties:
        # Quoted: "null" is a name here, and YAML has its own idea of it.
        text += "  properties:\n"
        text += "".join(f'    "{property}": {KINDS[kind]}\n' for property, kind in properties)
    return text


if __name__ == "__main__":
    for file, content in files().items():
        (HERE / file).write_bytes(content)
