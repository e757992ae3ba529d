"""The three criteria that cluster units: spec ssim-kmeans-pruning, 2.6, 7.1 and 8."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn

from nervure import prune
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.features.silhouette import score
from nervure.features.ssim import Filters, Measure, Similarity
from nervure.judge import Layer, judge, select
from nervure.prune.criteria.agglomerative import AgglomerativeCriterion
from nervure.prune.criteria.euclidean_kmeans import EuclideanKMeansCriterion
from nervure.prune.criteria.ssim_kmeans import SSIMKMeansCriterion
from nervure.prune.ssim.criterion import OneOfEach
from nervure.prune.ssim.initial import Init, drawn
from nervure.prune.ssim.kmeans import Job, kmeans
from nervure.prune.ssim.methods import Agglomerative, EuclideanKMeans
from nervure.prune.ssim.search import job_of
from nervure.prune.ssim.weights import Weights

ALL = [SSIMKMeansCriterion, EuclideanKMeansCriterion, AgglomerativeCriterion]


def conv(weight: Tensor, name: str = "conv") -> Layer:
    module = nn.Conv2d(weight.shape[1], len(weight), weight.shape[2])
    module.weight = nn.Parameter(weight)
    return Layer(name, module, len(weight))


def filters(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def planted(groups: int = 4, size: int = 5, noise: float = 0.05) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(groups, 1, 8, 3, 3, generator=generator)
    return (centres + noise * torch.randn(groups, size, 8, 3, 3, generator=generator)).flatten(0, 1)


@pytest.mark.parametrize("kind", ALL)
class TestEach:
    def test_finds_planted_groups_and_keeps_one_of_each(self, kind: type[OneOfEach]) -> None:
        layer, criterion = conv(planted()), kind()
        judgement = criterion.judge(layer, {"weight": layer.module.weight}, {})  # type: ignore[dict-item]
        assert judgement.notes["natural_keep"] == criterion.natural_keep(layer) == 4
        for kept in (criterion.choose(layer, judgement, 4), select(judgement.scores, 4, judgement.tiebreak)):
            assert sorted(int(unit) // 5 for unit in kept) == [0, 1, 2, 3]

    def test_chooses_any_number_exactly_and_ascending(self, kind: type[OneOfEach]) -> None:
        layer, criterion = conv(planted(3, 4, 0.5)), kind()
        judgement = criterion.judge(layer, {"weight": layer.module.weight}, {})  # type: ignore[dict-item]
        for keep in range(13):
            kept = criterion.choose(layer, judgement, keep)
            assert kept.tolist() == sorted(set(kept.tolist()))
            assert len(kept) == keep
            assert len(select(judgement.scores, keep, judgement.tiebreak)) == keep
            assert torch.equal(kept, kind().choose(layer, judgement, keep))
        with pytest.raises(InputError, match="cannot keep 13 of 12"):
            criterion.choose(layer, judgement, 13)

    def test_representatives_rank_above_the_rest_by_the_size_of_their_cluster(self, kind: type[OneOfEach]) -> None:
        weight = torch.cat([planted(1, 6), planted(3, 2)[2:]])
        layer = conv(weight)
        judgement = kind().judge(layer, {"weight": weight}, {})
        kept = judgement.notes["representatives"]
        assert isinstance(kept, list)
        assert len(kept) in (2, 3)
        assert set((judgement.scores > 1).nonzero().flatten().tolist()) == set(kept)
        assert int(judgement.scores.argmax()) < 6
        assert ((judgement.scores <= 1).sum(), float(judgement.scores.min()) >= 0) == (10 - len(kept), True)

    @pytest.mark.parametrize("value", [0.0, 0.7])
    def test_equal_units(self, kind: type[OneOfEach], value: float) -> None:
        layer, criterion = conv(torch.full((6, 2, 3, 3), value)), kind()
        judgement = criterion.judge(layer, {"weight": layer.module.weight}, {})  # type: ignore[dict-item]
        assert len(criterion.choose(layer, judgement, 4)) == 4

    def test_every_kind_of_layer(self, kind: type[OneOfEach]) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            modules = [
                nn.Linear(5, 6), nn.Linear(1, 1), nn.Linear(3, 2), nn.Conv1d(2, 5, 3), nn.Conv2d(4, 6, 1),
                nn.Conv3d(2, 4, 3), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 4, 5, groups=2),
            ]  # fmt: skip
        net = nn.ModuleList(modules)
        found = judge(net, [], {"it": kind()})["it"]
        for at, module in enumerate(modules):
            judgement = found[str(at)]
            units = len(module.weight)  # type: ignore[arg-type]
            assert judgement.scores.shape == (units,)
            assert 1 <= judgement.notes["natural_keep"] <= units  # type: ignore[operator]
            assert judgement.evidence

    def test_units_of_several_layers_go_by_scores(self, kind: type[OneOfEach]) -> None:
        layer, criterion = conv(planted()), kind()
        judgement = criterion.judge(layer, {"weight": planted(4, 6)}, {})
        assert torch.equal(criterion.choose(layer, judgement, 7), select(judgement.scores, 7, judgement.tiebreak))

    def test_evidence_has_the_null_curve(self, kind: type[OneOfEach]) -> None:
        layer = conv(planted())
        evidence = kind().judge(layer, {"weight": layer.module.weight}, {}).evidence  # type: ignore[dict-item]
        shown = {one.kind: one for one in reversed(evidence)}
        assert set(shown) == {"curve", "table", "matrix", "images", "bars"}
        curve = shown["curve"]
        assert "shuffled" in curve.labels[1]  # type: ignore[attr-defined]
        assert "with its weights shuffled the peak is" in curve.alt
        assert curve.notes["chosen"].startswith("best: 4 (")


@pytest.mark.parametrize("kind", ALL)
def test_all_units_leave_outputs_as_they_are_and_fewer_make_a_smaller_file(
    kind: type[OneOfEach], tmp_path: Path
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(128, 3),
        ).eval()  # fmt: skip
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = prune.plan(net, None, kind(), prune.Target(keep=1.0), example=x).apply(net)
    assert torch.equal(whole(x), net(x))
    small = prune.plan(net, None, kind(), prune.Target(keep={"0": 3, "3": 2}), example=x).apply(net)
    assert [tuple(one.weight.shape[:2]) for one in (small[0], small[3])] == [(3, 1), (2, 3)]  # type: ignore[index]
    sizes = []
    for name, one in (("whole", net), ("small", small)):
        save_file(one.state_dict(), tmp_path / name)
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


class TestSSIM:
    def test_settings(self) -> None:
        thesis = SSIMKMeansCriterion("thesis").method
        assert thesis.profile.measure == Measure("window3", value_map="raw")  # type: ignore[attr-defined]
        corrected = SSIMKMeansCriterion(mode="window3").method
        assert corrected.profile.measure == Measure("window3", value_map="minmax01")  # type: ignore[attr-defined]
        assert (thesis.silhouette, corrected.silhouette) == ("thesis_min", "distance")
        with pytest.raises(InputError, match="runs = 0"):
            SSIMKMeansCriterion(runs=0)

    def test_other_similarities_and_beginnings(self) -> None:
        other = SSIMKMeansCriterion("thesis", similarity="uqi", init="k-means++").method
        assert other.profile.measure == Measure("window3", similarity="uqi")  # type: ignore[attr-defined]
        assert (other.profile.init, other.measure_name) == ("k-means++", "UQI")  # type: ignore[attr-defined]
        assert repr(other) != repr(SSIMKMeansCriterion("thesis", similarity="uqi").method)
        with pytest.raises(InputError, match="similarity = 'psnr'; give one of ssim, uqi, mse, cosine"):
            SSIMKMeansCriterion(similarity="psnr")  # type: ignore[arg-type]

    @pytest.mark.parametrize("init", ["multi-point", "k-means++"])
    @pytest.mark.parametrize("similarity", ["uqi", "mse", "cosine"])
    def test_each_similarity_finds_planted_groups(self, similarity: Similarity, init: Init) -> None:
        layer, criterion = conv(planted()), SSIMKMeansCriterion(similarity=similarity, init=init)
        judgement = criterion.judge(layer, {"weight": layer.module.weight}, {})  # type: ignore[dict-item]
        assert judgement.notes["natural_keep"] == 4
        assert sorted(int(unit) // 5 for unit in criterion.choose(layer, judgement, 4)) == [0, 1, 2, 3]
        matrix = next(one for one in judgement.evidence if one.kind == "matrix")
        assert matrix.title.startswith(f"conv: {criterion.method.measure_name} of every two units")

    def test_squared_error_is_euclidean_k_means(self) -> None:
        """From equal filters as seeds, rounds of either end at the same labels where both converge."""
        weight = planted(4, 6, 0.7)
        rows = weight.flatten(1).double().numpy()
        for k in (3, 4, 7):
            seeds = drawn(np.eye(24, dtype=np.float32), k, 5, "multi-point")
            found = kmeans(Filters(weight, Measure(similarity="mse")), k, seed=5, initial=1)
            expected = KMeans(k, init=rows[seeds], n_init=1, algorithm="lloyd").fit(rows)
            assert adjusted_rand_score(expected.labels_, found.labels) == 1

    def test_of_so_many_runs_the_best_clustering_is_chosen(self) -> None:
        grouper = SSIMKMeansCriterion().method.prepare(planted(6, 4, 0.8))
        made = grouper.cluster([job_of(0, "conv", 9, run) for run in range(16)])
        each = [score(grouper.matrix, one.labels) for one in made]
        for runs in (1, 4, 16):
            best = SSIMKMeansCriterion(runs=runs)._best("conv", grouper, 9)
            assert score(grouper.matrix, best.labels) == pytest.approx(max(each[:runs]), abs=1e-9)
        assert max(each) > max(each[:4]) > each[0]

    def test_nan_weights(self) -> None:
        with pytest.raises(InputError, match="NaN"):
            SSIMKMeansCriterion().judge(conv(torch.full((4, 2, 3, 3), torch.nan)), {}, {})


def _at_0(layer: Layer) -> Layer:
    return replace(layer, name="0")


@pytest.mark.parametrize("kind", ALL)
class TestWeights:
    """Each group is one filter times 1, 2, 3, 4 and 5: behind a batch norm, five equal units."""

    def net(self) -> tuple[nn.Module, Layer]:
        weight = filters(3, 1, 8, 3, 3) * torch.arange(1.0, 6.0).reshape(1, 5, 1, 1, 1)
        layer = conv((weight - weight.mean((2, 3, 4), keepdim=True)).flatten(0, 1))
        norm = nn.BatchNorm2d(15)
        norm.running_var = torch.arange(1.0, 6.0).repeat(3).square() - norm.eps
        return nn.Sequential(OrderedDict(conv=layer.module, norm=norm)), layer

    @pytest.mark.parametrize("weights", ["standardised", "folded"])
    def test_a_filter_and_its_multiples_are_one_group(self, kind: type[OneOfEach], weights: Weights) -> None:
        net, layer = self.net()
        batches = [Batch(torch.randn(2, 8, 5, 5), None, torch.arange(2))]
        criterion = kind(weights=weights).prepare(net, batches, [layer])
        judgement = criterion.judge(layer, {"weight": layer.module.weight}, {})  # type: ignore[dict-item]
        assert judgement.notes["natural_keep"] == criterion.natural_keep(layer) == 3
        assert sorted(int(unit) // 5 for unit in criterion.choose(layer, judgement, 3)) == [0, 1, 2]
        own = kind().judge(layer, {"weight": layer.module.weight}, {})  # type: ignore[dict-item]
        matrices = [next(one for one in found.evidence if one.kind == "matrix") for found in (judgement, own)]
        low = [float(one.values[:5, :5].min()) for one in matrices]  # type: ignore[attr-defined]
        assert low[0] == pytest.approx(1, abs=1e-4)
        assert low[1] < 0.9

    def test_folding_leaves_a_layer_without_a_norm_as_it_is(self, kind: type[OneOfEach]) -> None:
        _, layer = self.net()
        batches = [Batch(torch.randn(2, 8, 5, 5), None, torch.arange(2))]
        alone = nn.Sequential(OrderedDict(conv=layer.module))
        judged = [
            kind(weights=weights).prepare(alone, batches, [layer]).judge(layer, {}, {})  # type: ignore[arg-type]
            for weights in ("own", "folded")
        ]
        assert torch.equal(judged[0].scores, judged[1].scores)

    @pytest.mark.parametrize(
        "between", [(nn.ReLU(), nn.BatchNorm2d(15)), (nn.Flatten(), nn.BatchNorm1d(15 * 9))], ids=["relu", "flatten"]
    )
    def test_a_norm_further_on_is_not_folded(self, kind: type[OneOfEach], between: tuple[nn.Module, ...]) -> None:
        """Not behind an activation, where a negative scale would turn filters round, nor where it scales positions."""
        _, layer = self.net()
        with torch.no_grad():
            between[1].weight[::2] = -1  # type: ignore[operator, index]
        batches = [Batch(torch.randn(2, 8, 5, 5), None, torch.arange(2))]
        found = [
            kind(weights=weights).prepare(nn.Sequential(layer.module, *between), batches, [_at_0(layer)])
            for weights in ("own", "folded")
        ]
        one, two = (each.judge(_at_0(layer), {}, {}).scores for each in found)
        assert torch.equal(one, two)

    @pytest.mark.parametrize("weights", ["own", "standardised", "folded"])
    def test_transposed_convolutions(self, kind: type[OneOfEach], weights: Weights) -> None:
        """Their weights have inputs first; of six units, three are there twice."""
        module = nn.ConvTranspose2d(4, 6, 3)
        module.weight = nn.Parameter(filters(4, 3, 3, 3).repeat(1, 2, 1, 1))
        net = nn.Sequential(nn.Conv2d(1, 4, 3), module, nn.BatchNorm2d(6), nn.Conv2d(6, 2, 3)).eval()
        target = prune.Target(keep={"1": 3})
        plan = prune.plan(net, None, kind(weights=weights), target, example=torch.zeros(3, 1, 8, 8))
        assert sorted(unit % 3 for unit in plan.kept["1"]) == [0, 1, 2]

    def test_refuses_another_name(self, kind: type[OneOfEach]) -> None:
        with pytest.raises(InputError, match="weights = 'fold'; give own, standardised, folded"):
            kind(weights="fold")  # type: ignore[arg-type]


class TestEuclidean:
    def test_is_k_means(self) -> None:
        weight = planted(4, 5, 0.5)
        found = EuclideanKMeans().prepare(weight).cluster([Job(4, 7)])[0]
        rows = weight.flatten(1).double().numpy()
        expected = KMeans(4, n_init=1, random_state=7).fit(rows)
        assert adjusted_rand_score(expected.labels_, found.labels) == 1
        for cluster, kept in enumerate(found.representatives()):
            members = np.flatnonzero(found.labels == cluster)
            away = np.linalg.norm(rows[members] - rows[members].mean(0), axis=1)
            assert kept == members[away.argmin()]

    def test_exactly_k_also_of_equal_units(self) -> None:
        weight = torch.zeros(6, 2)
        weight[5] = 1
        found = EuclideanKMeans().prepare(weight).cluster([Job(4, 0)])[0]
        assert sorted(set(found.labels.tolist())) == [0, 1, 2, 3]
        assert found.repaired


class TestAgglomerative:
    @pytest.mark.parametrize("k", [1, 2, 5, 11, 12])
    def test_is_average_linkage(self, k: int) -> None:
        weight = planted(4, 3, 1.0)
        measure = Measure("kernel", value_map="minmax01")
        found = Agglomerative(measure).prepare(weight).cluster([Job(k, 0)])[0]
        matrix = Filters(weight, measure).matrix
        oracle = AgglomerativeClustering(k, metric="precomputed", linkage="average").fit(1 - matrix)
        assert adjusted_rand_score(oracle.labels_, found.labels) == 1
        assert found.k == k
        for cluster, kept in enumerate(found.representatives()):
            members = np.flatnonzero(found.labels == cluster)
            inside = matrix[np.ix_(members, members)].sum(0)
            assert kept == members[inside.round(5).argmax()]
