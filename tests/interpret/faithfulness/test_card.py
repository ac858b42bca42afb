import json
from dataclasses import replace

import numpy as np
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.faithfulness import CardOptions, Explained, faithfulness_card
from scypher.interpret.faithfulness.card import COLUMNS, FaithfulnessCard
from scypher.interpret.faithfulness.rows import at_least, at_most


@pytest.fixture
def card(trainer):
    """Make the card of a network, with trainings whose errors have a given size."""

    def make(asked, explained, *, noise=0.1):
        return faithfulness_card(
            asked,
            explained,
            train=trainer(asked, noise=noise),
            rng=np.random.default_rng(0),
            options=CardOptions(training_cells=400),
        )

    return make


def by_test(found):
    return found.frame().set_index("test")


def test_attention_to_causes_explains(toy, card):
    asked, explained = toy(n_cells=480)
    found = card(asked, explained)
    assert [row.test for row in found.rows if row.passed is False and row.decides] == []
    assert found.verdict == "explains"
    assert not found.impossible


def test_the_verdict_needs_every_test_that_decides():
    curves = [
        at_least("deletion_over_random", 0.2, 0.1, ""),
        at_least("insertion_over_random", 0.2, 0.1, ""),
    ]
    assert FaithfulnessCard(curves).verdict == "explains"
    assert FaithfulnessCard(curves[:1]).verdict == "associated"
    failed = at_most("weight_randomisation", 0.4, 0.3, "")
    assert FaithfulnessCard([*curves, failed]).verdict == "associated"
    aside = at_most("confounds", 0.6, 0.5, "", decides=False)
    assert FaithfulnessCard([*curves, aside]).verdict == "explains"
    unknown = at_least("stability_donors", np.nan, 0.4, "")
    assert unknown.passed is None
    judged = FaithfulnessCard([*curves, unknown])
    assert (judged.verdict, judged.impossible) == ("explains", ["stability_donors"])


def test_blind_attention_is_associated(toy, blind, card):
    found = card(*blind(*toy(n_cells=480)))
    rows = by_test(found)
    assert found.verdict == "associated"
    assert not rows.loc["deletion_over_random", "passed"]
    assert not rows.loc["insertion_over_random", "passed"]
    assert not rows.loc["gradient_agreement", "passed"]


def test_unstable_attention_is_associated(toy, card):
    found = card(*toy(n_cells=480), noise=9.0)
    rows = by_test(found)
    assert not rows.loc["stability_seeds", "passed"]
    assert not rows.loc["stability_donors", "passed"]


def test_one_donor_is_said_loudly(toy, card):
    asked, explained = toy(n_cells=480)
    found = card(asked, replace(explained, donor=np.zeros(480, int)))
    rows = by_test(found)
    assert np.isnan(rows.loc["stability_donors", "value"])
    assert rows.loc["stability_donors", "passed"] is None
    assert rows.loc["stability_donors", "note"].startswith("NOT POSSIBLE")
    assert rows.loc["stability_cells", "passed"]
    assert found.impossible == ["stability_donors"]


def test_without_trainings_stability_is_not_possible(toy):
    asked, explained = toy()
    found = faithfulness_card(asked, explained, train=None, rng=np.random.default_rng(0))
    assert found.impossible == ["stability_seeds", "stability_donors"]


def test_one_state_cannot_be_explained(toy, card):
    asked, explained = toy()
    alone = replace(explained, state=np.zeros(240, int), state_of_code=np.zeros(8, int))
    found = card(asked, alone)
    assert found.verdict == "associated"
    assert found.impossible == ["curves"]


def test_frame_and_record_are_plain(toy, card):
    found = card(*toy())
    frame = found.frame()
    assert tuple(frame.columns) == COLUMNS
    assert frame["test"].is_unique
    text = json.dumps(found.record(), allow_nan=False)
    assert json.loads(text)["verdict"] == found.verdict
    assert len(json.loads(text)["rows"]) == len(frame)


def test_same_seed_same_card(toy, card):
    one, other = (card(*toy()) for _ in range(2))
    assert one.frame().equals(other.frame())


def test_arrays_that_do_not_fit_are_refused(toy):
    _, explained = toy()
    with pytest.raises(InputError, match=r"attention of shape .* expected"):
        replace(explained, attention=explained.attention[1:])
    with pytest.raises(InputError, match="a code for each state"):
        replace(explained, state=explained.state + 1)


def test_attention_without_its_network_is_refused():
    class Parts:
        class attention:
            network = None

    with pytest.raises(InputError, match="without its network"):
        Explained.of(Parts, None)
