"""Which unit matters: planted swaps whose cost follows one property of the units and no other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import row
from scipy import stats

from priorgap.verdict.units import ARMS, PROPERTIES, is_unit_swap, unit_correlations, unit_effects

N_UNITS = 8


def study(n_seeds: int = 1, *, follows: str = "unit_dependence", cell: str = "c") -> pd.DataFrame:
    rows, rng = [], np.random.default_rng(0)
    for seed in range(n_seeds):
        own = {"cell": cell, "model": f"{cell}-{seed}"}
        rows += [row(s, "fid", seed, v, **own) for s, v in (("prior", 60.0), ("posterior", 5.0 + seed))]
        for j in range(N_UNITS):
            facts = {name: rng.random() for name in ("rate", "marginal_kl", "unit_dependence")}
            rows += [row("", n, seed, v, unit=str(j), space="latent", **own) for n, v in facts.items()]
            swapped = {"role": "specimen", "traits": "needs_training_data", **own}
            rows += [
                row(f"unit_swap_{j}_{arm}", "fid", seed, 5 + seed + 10 * facts[follows] + place, **swapped)
                for place, arm in enumerate(ARMS)
            ]
        rows.append(row("", "rate", seed, 3.0, space="latent", **own))
    return pd.DataFrame(rows)


def test_a_unit_s_swap_is_known_by_its_name() -> None:
    assert all(is_unit_swap(f"unit_swap_12_{arm}") for arm in ARMS)
    assert not any(is_unit_swap(name) for name in ("prior", "unit_swap_1_other", "my_unit_swap_1_prior", ""))


def test_costs_are_differences_from_the_same_models_posterior() -> None:
    table = study(2)
    effects = unit_effects(table)
    assert len(effects) == 2 * N_UNITS * 3
    assert effects["unit_dependence_linear"].isna().all()
    extra = effects["arm"].map({arm: place for place, arm in enumerate(ARMS)})
    np.testing.assert_allclose(effects["cost"], 10 * effects["unit_dependence"].astype(float) + extra)
    key = ["cell", "model", "seed", "arm", "unit"]
    assert list(effects.columns) == [*key, "cost", *PROPERTIES]
    pd.testing.assert_frame_equal(effects, effects.sort_values(key, ignore_index=True))
    for one in effects.itertuples():
        assert one.model == f"c-{one.seed}" and 0 <= one.unit < N_UNITS
        known = table[(table["model"] == one.model) & (table["unit"] == str(one.unit))]
        measured = known.set_index("measure")["value"]
        assert (one.rate, one.marginal_kl) == (measured["rate"], measured["marginal_kl"])


def test_cells_are_kept_apart() -> None:
    effects = unit_effects(pd.concat([study(), study(cell="d", follows="rate")]))
    assert set(effects["cell"]) == {"c", "d"} and len(effects) == 2 * N_UNITS * 3
    found = unit_correlations(effects).set_index(["cell", "property", "arm"])["correlation"]
    assert found["c", "unit_dependence", "prior"] == found["d", "rate", "prior"] == pytest.approx(1)


def test_another_measure_and_its_space() -> None:
    table = study()
    pixels = table[table["measure"] == "fid"].assign(space="pixels")
    pixels["value"] *= 2
    kid = table[table["measure"] == "fid"].assign(measure="kid")
    kid["value"] *= 3
    both = pd.concat([table, pixels, kid])
    one = unit_effects(table)["cost"]
    with pytest.raises(ValueError, match="measured in classifier, pixels"):
        unit_effects(both)
    np.testing.assert_allclose(unit_effects(both, space="pixels")["cost"], 2 * one)
    np.testing.assert_allclose(unit_effects(both, measure="kid")["cost"], 3 * one)


@pytest.mark.parametrize("follows", ["rate", "marginal_kl", "unit_dependence"])
def test_the_correlation_finds_the_property_that_was_planted(follows: str) -> None:
    effects = unit_effects(study(follows=follows))
    found = unit_correlations(effects)
    assert (found["cell"] == "c").all() and (found["model"] == "c-0").all() and (found["seed"] == 0).all()
    for arm in ARMS:
        own = found[found["arm"] == arm].set_index("property")
        assert own["correlation"][follows] == pytest.approx(1)
        assert own["p_value"][follows] < 1e-6
        assert (own["correlation"].drop(follows).abs() < 0.9).all()
        assert (own["n_units"] == N_UNITS).all()
        swaps = effects[effects["arm"] == arm]
        for name in own.index:
            known = stats.spearmanr(swaps["cost"], swaps[name].astype(float))
            assert own["correlation"][name] == pytest.approx(known.statistic)
            assert own["p_value"][name] == pytest.approx(known.pvalue)


def test_a_table_read_back_from_csv_gives_the_same(tmp_path: Path) -> None:
    study(2).to_csv(tmp_path / "results.csv", index=False)
    back = unit_correlations(unit_effects(pd.read_csv(tmp_path / "results.csv")))
    pd.testing.assert_frame_equal(back, unit_correlations(unit_effects(study(2))))
    assert len(back) == 2 * 3 * 3


def test_a_property_of_some_units_is_compared_over_these() -> None:
    table = study()
    unknown = (table["measure"] == "rate") & table["unit"].isin(["0", "1", "2"])
    found = unit_correlations(unit_effects(table[~unknown])).set_index(["property", "arm"])
    assert (found["n_units"]["rate"] == N_UNITS - 3).all()
    assert (found["n_units"]["marginal_kl"] == N_UNITS).all()


def test_four_units_can_be_ranked_and_three_cannot() -> None:
    table = study()

    def first(n: int) -> pd.DataFrame:
        kept = table["sampler"].map(lambda s: not is_unit_swap(s) or int(s.split("_")[2]) < n)
        return unit_correlations(unit_effects(table[kept]))

    assert first(3).empty
    assert (first(4)["n_units"] == 4).all() and len(first(4)) == 9
    assert list(first(3).columns) == list(first(4).columns)


def test_what_cannot_be_ranked_is_left_out() -> None:
    flat = study()
    flat.loc[flat["measure"] == "rate", "value"] = 1.0
    found = set(unit_correlations(unit_effects(flat))["property"])
    assert found == {"marginal_kl", "unit_dependence"}
    two = study()
    two.loc[(two["measure"] == "rate") & (two["unit"] != "0"), "value"] = 1.0
    assert "rate" in set(unit_correlations(unit_effects(two))["property"]), "two values can be ranked"


def test_without_the_posterior_of_a_model_there_is_no_cost() -> None:
    table = study(2)
    assert unit_effects(table[table["sampler"] != "posterior"]).empty
    one = table[(table["sampler"] != "posterior") | (table["seed"] == 1)]
    assert set(unit_effects(one)["seed"]) == {1}
    assert list(unit_effects(table[~table["sampler"].map(is_unit_swap)]).columns)[-1] == PROPERTIES[-1]
