import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scypher.interpret.faithfulness.planted import plant, recovered


@pytest.fixture(scope="module")
def planted():
    return plant(np.random.default_rng(0), n_cells=1500)


def test_drivers_alone_tell_the_code(planted):
    counts = planted.counts.toarray()
    for i in range(0, 1500, 37):
        sums = [
            np.log1p(counts[i, (planted.kind == 0) & (planted.owner == s)]).sum() for s in range(8)
        ]
        assert sums[planted.state[i]] == pytest.approx(max(sums), abs=1e-9)
        pair = counts[i, (planted.kind == 0) & (planted.owner == planted.state[i])]
        assert pair[planted.code[i] % 2] == pair.max()


def test_decoys_go_along_with_drivers_but_say_less(planted):
    values = planted.tokens.toarray()
    for s in range(8):
        inside = planted.state == s
        mine = planted.owner == s
        driver, decoy = (
            [
                roc_auc_score(inside, values[:, g])
                for g in np.flatnonzero(mine & (planted.kind == k))
            ]
            for k in (0, 1)
        )
        assert min(decoy) > 0.75
        assert min(driver) > max(decoy)


def test_hubs_are_high_everywhere_and_say_nothing(planted):
    values = planted.counts.toarray()
    hubs = planted.kind == 2
    assert values[:, hubs].mean() > 5 * values[:, ~hubs].mean()
    areas = [roc_auc_score(planted.state == 0, values[:, g]) for g in np.flatnonzero(hubs)]
    assert np.abs(np.array(areas) - 0.5).max() < 0.1


def test_batches_differ(planted):
    values = planted.tokens.toarray()
    background = np.flatnonzero(planted.kind == 3)
    areas = np.array([roc_auc_score(planted.batch, values[:, g]) for g in background])
    assert np.abs(areas - 0.5).mean() > 0.05


def test_recovery_equals_sklearn(planted):
    rng = np.random.default_rng(0)
    n_genes = len(planted.kind)
    state, gene = np.repeat(np.arange(8), n_genes), np.tile(np.arange(n_genes), 8)
    score = rng.random(len(gene)) + 0.3 * ((planted.kind == 0) & (planted.owner == 0))[gene]
    found = recovered(planted, state, gene, score)
    for s in range(8):
        mine = score[state == s]
        truth = (planted.kind == 0) & (planted.owner == s)
        assert found["auroc"][s] == pytest.approx(roc_auc_score(truth, mine))
        order = np.argsort(-mine)
        best = min(np.flatnonzero(truth[order]) + 1)
        assert found["best_driver"][s] == best
        hubs = mine[planted.kind == 2]
        assert found["hubs_above"][s] == np.mean([(mine >= h).mean() <= 0.05 for h in hubs])


def test_the_truth_is_recovered_in_full_and_a_missing_score_is_last(planted):
    gene = np.flatnonzero(planted.kind == 0)
    found = recovered(planted, planted.owner[gene], gene, np.ones(len(gene)))
    assert (found["auroc"] == 1).all()
    assert (found["best_driver"] == 1.5).all()
    assert (found["hubs_above"] == 0).all()
