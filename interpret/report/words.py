"""What the numbers say, in sentences: the first screen and the limits."""

from dataclasses import dataclass

from .collect import BASELINE_RANKS, Content, Group, records
from .formats import count, integer, listed, percent
from .quality import comparisons

VERDICTS = {
    "supported": "both attention and expression",
    "expression_only": "expression only",
    "attention_only": "attention only",
    "unsupported": "neither",
}
"""Verdict of a marker -> which of the two tests support it."""


@dataclass(frozen=True)
class Best:
    """The best markers of a group: genes with their verdict, and how many of how many hold."""

    group: Group
    genes: list[tuple[str, str]]
    supported: int
    of: int


def best_markers(content: Content, shown: int = 5) -> list[Best]:
    """Return the best markers of every cell type, or of every coarse state without labels."""
    rows = []
    for group in content.main_groups:
        top = group.markers[group.markers["rank"] <= BASELINE_RANKS]
        genes = list(zip(top["symbol"][:shown], top["verdict"][:shown], strict=True))
        rows.append(Best(group, genes, int((top["verdict"] == "supported").sum()), len(top)))
    return rows


def findings(content: Content) -> list[str]:
    """Return what was found, one sentence or two per finding."""
    dataset, states = content.dataset, content.states
    coarse, fine = (int((states["level"] == level).sum()) for level in (1, 2))
    inside = f", with {count(fine, 'finer state')} inside them" if fine else ""
    found = [
        f"{count(int(dataset['n_cells']), 'cell')} with "
        f"{count(int(dataset['n_genes']), 'measured gene')} fall into "
        f"{count(coarse, 'state')}{inside}."
    ]
    labels = content.cells.loc[content.cells["label"] != "", "label"].value_counts()
    if len(labels):
        largest = sorted(labels.items(), key=lambda item: (-item[1], str(item[0])))[0]
        found.append(
            f"The cells carry {count(len(labels), 'cell type label')} as given, the most frequent "
            f"{largest[0]} ({count(largest[1], 'cell')})."
        )
    else:
        found.append("The cells carry no cell type labels, so that states stand for themselves.")
    return [
        *found,
        *_verdicts(content),
        _attention(content),
        *_ahead(content),
        *_programs(content),
        *_signals(content),
        *_changes(content),
        *_alarms(content),
    ]


def _verdicts(content: Content) -> list[str]:
    kind = "cell type" if content.labels else "state"
    tops = [group.markers.query(f"rank <= {BASELINE_RANKS}") for group in content.main_groups]
    n = sum(map(len, tops))
    if not n:
        return ["The graph holds no markers."]
    parts = [
        (int(sum((top["verdict"] == verdict).sum() for top in tops)), words)
        for verdict, words in VERDICTS.items()
    ]
    told = [f"{integer(k)} ({percent(k / n)}) by {words}" for k, words in parts if k]
    return [
        f"Support at q < 0.05 of the {count(n, 'marker')} among the ten best of each {kind}: "
        f"{listed(told)}."
    ]


def _ahead(content: Content) -> list[str]:
    compared = [one for one in comparisons(content.dataset["quality"]) if one.verdict != "alone"]
    if not compared:
        return []
    words = {"better": "ahead", "equal": "level", "worse": "behind"}
    told = [
        f"{words[verdict]} in {sum(one.verdict == verdict for one in compared)}"
        for verdict in words
        if any(one.verdict == verdict for one in compared)
    ]
    lost = [f"«{one.question}»" for one in compared if one.verdict == "worse"]
    end = f": the simpler method wins at {listed(lost)}" if lost else ""
    return [
        f"Set beside simpler methods in {count(len(compared), 'comparison')}, the model is "
        f"{listed(told)}{end}."
    ]


def _attention(content: Content) -> str:
    card = content.card
    deciding = [row for row in card["rows"] if row["decides"] and row["passed"] is not None]
    if not deciding:
        return (
            "What attention explains was not tested: read it as associated with a state, no more."
        )
    failed = [row["test"].replace("_", " ") for row in deciding if not row["passed"]]
    if card["verdict"] == "explains":
        return f"Attention explains: all {len(deciding)} tests that decide were passed."
    told = f"{len(failed)} of {len(deciding)} tests that decide failed ({listed(failed)})"
    return (
        "Attention is associated with the states and does not explain them: "
        f"{told if failed else 'tests that decide could not be made'}. Rest a finding on "
        "expression."
    )


def _changes(content: Content) -> list[str]:
    told = []
    n = sum((row["q"] < 0.05) for row in records(content.abundance))
    if len(content.abundance):
        told.append(
            f"{count(n, 'comparison')} of the frequency of a state between conditions reach "
            f"q < 0.05, of {len(content.abundance)} with donors as replicates."
        )
    if content.paths:
        told.append(
            f"{count(len(content.paths), 'path')} through an intermediate state passed all tests "
            "that could be made."
        )
    return told


def _alarms(content: Content) -> list[str]:
    return [
        f"Alarm of the cell codes: {alarm}."
        for alarm in content.dataset["quality"].get("code_alarms", [])
    ]


def _programs(content: Content) -> list[str]:
    n = len(content.modules) + content.left_out["modules"]
    if not n:
        return ["The graph holds no gene modules."]
    beyond = sum(module.null_q < 0.05 for module in content.modules)
    enriched = sum((module.enrichment["q"] < 0.05).any() for module in content.modules)
    shown = len(content.modules)
    of = "them" if shown == n else f"the {shown} largest"
    told = [f"{beyond} of {of} do so more than random genes of like expression"]
    if enriched:
        told.append(f"{enriched} over-represent a known gene set, at q < 0.05")
    verb = "was" if n == 1 else "were"
    return [
        f"{count(n, 'module')} of genes that vary together {verb} found; {', and '.join(told)}."
    ]


def _signals(content: Content) -> list[str]:
    if not content.signals:
        return []
    n = sum(row["verdict"] == "supported" for row in content.signals)
    shown = len(content.signals)
    return [
        f"Of the {count(shown, 'best pair')} of a ligand and a receptor between states {n} "
        f"{'is' if n == 1 else 'are'} supported, also beside pairs of genes expressed alike."
    ]


def warnings(content: Content) -> list[tuple[str, str]]:
    """Return what must be known before a p value is read: (short, in full)."""
    donors = content.n_donors
    known = {0: "Donors are unknown", 1: "All cells come from one donor"}
    if donors < 2:
        first = (
            f"{known[donors]}: p values rank genes, no more",
            "Cells are the only replicates here. Cells of one donor resemble each other, so a "
            "small p value is no test of whether a marker would be found again in other people. "
            "Use p and q to order genes, and confirm markers in further donors.",
        )
    else:
        first = (
            f"{donors} donors, but p values count cells",
            f"Cells come from {donors} donors; labels were permuted within donors for attention, "
            "but the p value of expression takes cells for independent replicates and is too "
            "small. Look at the donors that agree before trusting a marker.",
        )
    second = (
        "States were found in the data that tests them",
        "States are groups of similar cells, so some genes differ between them by construction. "
        "The p and q values of state markers are therefore optimistic; those of cell types are so "
        "too where the labels were derived from the same counts.",
    )
    told = [first, second]
    if content.dataset["stale"]:
        told.insert(
            0,
            (
                "Out of date: build this data set again",
                f"{content.dataset['stale']}. Numbers of cells and labels of states are right; "
                "markers, modules, enrichment and all other tests below are those of the cells "
                "before. `scypher refresh` computes them again.",
            ),
        )
    return told


def limits(content: Content) -> list[str]:
    """Return what this report cannot say."""
    told = [
        "Attention is a weight inside a model, not a cause: it says what the model looked at. Even "
        "where it explains the model, it does not explain the cell.",
        "One data set: nothing here says that a finding holds in other tissues, studies or "
        "platforms.",
        "p and q values of states are optimistic, since states were defined on the same cells.",
        "Modules are correlations of expression; they need not share a regulator.",
        "The 2-d map distorts distances: judge neighbourhood by the tables, not by gaps and areas "
        "on the map.",
        "A gene that was not measured, or in fewer than three cells, cannot be a marker; its "
        "absence says nothing.",
    ]
    if content.labels:
        told.insert(2, "Cell type labels are taken as given; a wrong label gives wrong markers.")
    if any(len(group.enrichment) for group in content.groups) or any(
        len(module.enrichment) for module in content.modules
    ):
        told.append(
            "Enrichment depends on the gene sets offered: what is not in the library cannot be "
            "found, and overlapping sets are found together."
        )
    return told
