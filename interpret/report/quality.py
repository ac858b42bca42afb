"""The measures of a run beside their baselines, each with its meaning in words."""

from dataclasses import dataclass
from typing import Any

from .formats import number, plain

_EQUAL = 0.005
"""Differences below this, half of the last digit shown, are called equal."""


@dataclass(frozen=True)
class Comparison:
    """A measure of the model beside that of a simpler method; larger is better for both.

    ``verdict`` is ``better``, ``equal``, ``worse``, or ``alone`` where one of the two is missing.
    """

    question: str
    measure: str
    ours_name: str
    baseline_name: str
    ours: float
    baseline: float
    explanation: str
    if_worse: str

    @property
    def verdict(self) -> str:
        """Who is ahead, seen from the model."""
        difference = self.ours - self.baseline
        if difference != difference:
            return "alone"
        if abs(difference) < _EQUAL:
            return "equal"
        return "better" if difference > 0 else "worse"

    @property
    def words(self) -> str:
        """The verdict as a sentence."""
        return {
            "better": f"The model is ahead by {number(self.ours - self.baseline)}.",
            "equal": f"No difference: {self.baseline_name} does as well.",
            "worse": f"The baseline wins by {number(self.baseline - self.ours)}.",
            "alone": "Only one of the two was measured, so nothing can be said.",
        }[self.verdict]

    @property
    def advice(self) -> str:
        """What follows when the baseline wins, else nothing."""
        return self.if_worse if self.verdict == "worse" else ""


@dataclass(frozen=True)
class Measure:
    """A measure without a baseline."""

    name: str
    value: str
    explanation: str


_COMPARISONS = (
    (
        "nmi_states_labels",
        "nmi_leiden_pca_labels",
        "Do the states follow the labels?",
        "normalised mutual information, 0 to 1",
        "states from cell codes",
        "Leiden on principal components",
        "1 means that states and labels divide the cells alike, 0 that they have nothing in "
        "common. Neither method saw the labels.",
        "To recover these labels, plain clustering serves better; read the states as a second "
        "view of the data.",
    ),
    (
        "silhouette_embedding_labels",
        "silhouette_pca_labels",
        "Does the embedding keep the labels apart?",
        "silhouette width, -1 to 1",
        "encoder embedding",
        "principal components",
        "Near 1, cells lie much closer to their own label than to the next one; near 0, labels "
        "overlap; below 0, cells lie closer to another label.",
        "Principal components keep the labels further apart; distances in the embedding, and the "
        "map drawn from it, deserve less trust.",
    ),
    (
        "graph_attention_auroc",
        "graph_attention_auroc_popularity",
        "Did graph attention learn which genes a cell expresses?",
        "area under the ROC curve, 0.5 to 1",
        "graph attention",
        "popularity of gene and cell",
        "Chance that a held-out gene of a cell scores above one the cell lacks and that equally "
        "many cells express; 0.5 is guessing. The baseline knows only how many cells a gene is in "
        "and how many genes a cell has.",
        "Graph attention learned nothing beyond how common genes are: do not rest a finding on "
        "its weights.",
    ),
)


def comparisons(quality: dict[str, Any]) -> list[Comparison]:
    """Return the comparisons of which at least one side was measured."""
    return [
        Comparison(
            question,
            measure,
            ours_name,
            baseline_name,
            _float(quality.get(ours)),
            _float(quality.get(baseline)),
            explanation,
            if_worse,
        )
        for (
            ours,
            baseline,
            question,
            measure,
            ours_name,
            baseline_name,
            explanation,
            if_worse,
        ) in _COMPARISONS
        if _is_number(quality.get(ours)) or _is_number(quality.get(baseline))
    ]


def measures(quality: dict[str, Any]) -> list[Measure]:
    """Return the measures without a baseline, those this page knows nothing of last."""
    found = []
    active, total = quality.get("codes_active"), quality.get("codes_total")
    if _is_number(active):
        of_total = f" of {plain(total)}" if _is_number(total) else ""
        text = "Entries of the codebook that at least one cell has; few mean a coarse description."
        found.append(Measure("cell codes in use", f"{plain(active)}{of_total}", text))
    if _is_number(quality.get("codes_perplexity")):
        text = (
            "Codes that would be in use if all were equally frequent; far below the number in use "
            "when a few codes hold most cells."
        )
        value = number(quality["codes_perplexity"], 1)
        found.append(Measure("perplexity of the codes", value, text))
    if _is_number(quality.get("nmi_codes_labels")):
        text = (
            "Normalised mutual information, 0 to 1. Codes are finer than labels, which alone "
            "lowers it: compare it with other encoders, not with that of the states."
        )
        value = number(quality["nmi_codes_labels"])
        found.append(Measure("agreement of codes with labels", value, text))
    if _is_number(quality.get("marker_overlap_at_10")):
        text = (
            "Mean share of the ten best genes by attention that are among the ten best by "
            "expression, 0 to 1. High: attention repeats expression. Low: it points elsewhere, "
            "which may be insight or noise."
        )
        value = number(quality["marker_overlap_at_10"])
        found.append(Measure("agreement of attention with expression", value, text))
    known = {key for row in _COMPARISONS for key in row[:2]}
    known |= {"codes_active", "codes_total", "codes_perplexity", "marker_overlap_at_10"}
    # The number of states and the alarms stand in the summary.
    known |= {"nmi_codes_labels", "n_states", "code_alarms"}
    return found + [
        Measure(key.replace("_", " "), plain(quality[key]), "As written by the run.")
        for key in sorted(set(quality) - known)
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _float(value: Any) -> float:
    return float(value) if _is_number(value) else float("nan")
