"""Expansion of configuration keys into many nodes: `unit_swaps` into a sampler for each unit and arm."""

from collections.abc import Mapping
from typing import Any, get_args

_TARGET = "priorgap.samplers.UnitSwap"


def with_unit_swaps(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with a node samplers.unit_swap_<j>_<arm> for each unit and arm that it requests.

    An existing node (from a file of its own) is kept.

    Raises:
        ValueError: a unit or arm does not exist; one line.
    """
    if config.get("unit_swaps") is None:
        return dict(config)
    nodes = {
        f"unit_swap_{unit}_{arm}": {"_target_": _TARGET, "unit": unit, "arm": arm}
        for unit in _units(config["unit_swaps"], config["model"]["latent_dim"])
        for arm in _arms(config["unit_swap_arms"])
    }
    return {**config, "samplers": {**nodes, **config["samplers"]}}


def _units(asked: Any, n_units: int) -> list[int]:
    if asked == "all":
        return list(range(n_units))
    units: list[int] = asked if isinstance(asked, list) else [asked]
    for unit in units:
        if isinstance(unit, bool) or not isinstance(unit, int) or not 0 <= unit < n_units:
            raise ValueError(
                f"unit_swaps={asked}: expected null, all, or a list of units from 0 to {n_units - 1}"
            )
    return units


def _arms(asked: Any) -> list[str]:
    from priorgap.samplers.unit_swap import Arm

    arms: list[str] = asked if isinstance(asked, list) else [asked]
    if not arms or any(arm not in get_args(Arm) for arm in arms):
        raise ValueError(f"unit_swap_arms={asked}: expected a list of {', '.join(get_args(Arm))}")
    return arms
