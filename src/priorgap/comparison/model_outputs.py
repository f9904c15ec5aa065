"""Posterior parameters and observations from the usual forms of encoders' and decoders' outputs."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from priorgap.core.arguments import show

Posterior = tuple[Tensor, Tensor | None]
Entry = int | str
_PAIR = "a pair (mean [b, d], log_var [b, d] or None)"

_MEANS = ("mean", "mu", "loc", "z_mean", "embedding", "latent_mean", "qz_m", "z_mu", "means")


def _same(values: Tensor) -> Tensor:
    return values


def _twice(values: Tensor) -> Tensor:
    return 2 * values


def _log(values: Tensor) -> Tensor:
    return values.log()


def _twice_log(values: Tensor) -> Tensor:
    return 2 * values.log()


_LOG_VARS: Mapping[str, Callable[[Tensor], Tensor]] = {
    **dict.fromkeys(
        ("log_var", "logvar", "log_variance", "log_covariance", "z_log_var", "log_vars", "z_logvar"), _same
    ),
    **dict.fromkeys(("log_sigma", "log_std", "logstd", "log_scale", "z_log_sigma", "z_log_std"), _twice),
    **dict.fromkeys(("var", "variance", "qz_v", "z_var"), _log),
    **dict.fromkeys(("sigma", "std", "scale", "stddev", "z_sigma", "z_std"), _twice_log),
}
_DISTRIBUTIONS = ("latent_dist", "qz", "q_z", "qz_x", "q_z_x")
_DECODED = (
    "sample", "reconstruction", "recon_x", "x_recon", "recon", "reconstructed", "x_hat", "px", "p_x", "decoded",
    "output", "mean", "loc",
)  # fmt: skip


def posterior_of(given: object, chosen: Entry | Sequence[Entry] | None = None) -> Posterior:
    """Return mean and log_var from the output of encode.

    Args:
        given: (mean, log_var), one mean, a normal distribution, or an object or mapping with named entries.
        chosen: the positions or names of mean and log_var in it, or that of a distribution; None: decided by the
            form.

    Raises:
        ValueError: the output has none of these forms, or is ambiguous; one line.
    """
    if chosen is not None:
        return _chosen(given, chosen)
    array = _as_tensor(given)
    if array is not None:
        return array, None
    if isinstance(given, Distribution):
        return _of_distribution(given)
    if given is None:
        raise ValueError(f"encode: gave None, expected {_PAIR}")
    if isinstance(given, tuple | list) and not hasattr(given, "_fields"):
        return _of_sequence(given)
    return _of_names(given)


def _as_tensor(value: object) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray | np.generic) or hasattr(type(value), "__array__"):
        array = np.asarray(value)
        return (
            torch.from_numpy(np.require(array, requirements=["C", "W"]))
            if array.dtype.kind in "fiub"
            else None
        )
    return None


def _of_sequence(given: Sequence[object]) -> Posterior:
    if len(given) == 1:
        return posterior_of(given[0])
    if len(given) != 2:
        raise ValueError(
            f"encode: gave {len(given)} outputs ({_listed(given)}); expected {_PAIR}, or posterior=(0, 1) to say "
            "which of them are mean and log_var"
        )
    mean, log_var = (_as_tensor(one) for one in given)
    if mean is None or (log_var is None and given[1] is not None):
        hint = "; posterior=0 or posterior=1 takes one of the two" if _any_distribution(given) else ""
        raise ValueError(f"encode: gave ({_listed(given)}), expected {_PAIR}{hint}")
    return mean, log_var


def _any_distribution(given: Sequence[object]) -> bool:
    return any(isinstance(one, Distribution) for one in given)


def _listed(given: Sequence[object]) -> str:
    return ", ".join(_called(one) for one in given)


def _called(one: object) -> str:
    array = _as_tensor(one)
    return type(one).__name__ if array is None else f"{type(one).__name__} {list(array.shape)}"


def _of_distribution(given: Distribution) -> Posterior:
    base = given
    while isinstance(base, Independent):
        base = base.base_dist
    if not isinstance(base, Normal):
        raise ValueError(
            f"encode: gave a distribution {type(base).__name__}; expected Normal or Independent(Normal): posteriors "
            f"are Gaussian with independent units here, or {_PAIR}"
        )
    return base.loc, 2 * base.scale.log()


def _entry(given: object, name: str) -> object:
    """Return an entry of a mapping or an attribute of an object; None where there is none."""
    if isinstance(given, Mapping):
        return given.get(name)
    found = getattr(given, name, None)
    return None if callable(found) and not isinstance(found, Tensor) else found


def _of_names(given: object) -> Posterior:
    for name in _DISTRIBUTIONS:
        inner = _entry(given, name)
        if isinstance(inner, Distribution) or (inner is not None and _as_tensor(inner) is None):
            return posterior_of(inner)
    entries = given.values() if isinstance(given, Mapping) else getattr(given, "__dict__", {}).values()
    distributions = [one for one in entries if isinstance(one, Distribution)]
    if len(distributions) == 1:
        return _of_distribution(distributions[0])
    means = [name for name in _MEANS if _as_tensor(_entry(given, name)) is not None]
    spreads = [name for name in _LOG_VARS if _as_tensor(_entry(given, name)) is not None]
    if len(means) != 1:
        several = f"{' and '.join(means)}: which is the mean?" if means else f"{_names(given)}"
        raise ValueError(
            f"encode: gave {type(given).__name__} with {several}; expected entries as mean and log_var, or "
            "posterior=(NAME, NAME) to say which they are"
        )
    mean = _as_tensor(_entry(given, means[0]))
    assert mean is not None
    if not spreads:
        return mean, None
    values = _as_tensor(_entry(given, spreads[0]))
    assert values is not None
    return mean, _LOG_VARS[spreads[0]](values)


def _names(given: object) -> str:
    if isinstance(given, Mapping):
        return f"entries {show(', '.join(map(str, given)))}"
    known = [name for name in getattr(given, "__dict__", {}) if not name.startswith("_")]
    return f"attributes {show(', '.join(known))}" if known else "no attributes"


def _chosen(given: object, chosen: Entry | Sequence[Entry]) -> Posterior:
    if isinstance(chosen, int | str):
        return posterior_of(_picked(given, chosen))
    mean, spread = (_picked(given, entry) for entry in chosen)
    found = _as_tensor(mean), _as_tensor(spread)
    if found[0] is None or (found[1] is None and spread is not None):
        raise ValueError(
            f"posterior={tuple(chosen)}: these outputs of encode are {_listed([mean, spread])}; expected two tensors"
        )
    convert = _LOG_VARS.get(str(chosen[1]), _same)
    return found[0], None if found[1] is None else convert(found[1])


def _picked(given: object, entry: Entry) -> object:
    if isinstance(entry, str):
        found = _entry(given, entry)
        if found is None:
            raise ValueError(f"posterior={entry!r}: encode gave {type(given).__name__} with {_names(given)}")
        return found
    if not isinstance(given, tuple | list) or not -len(given) <= entry < len(given):
        many = f"{len(given)} outputs" if isinstance(given, tuple | list) else type(given).__name__
        raise ValueError(f"posterior={entry}: encode gave {many}; expected the place of one of its outputs")
    return given[entry]


def check_posterior(chosen: object) -> Entry | tuple[Entry, Entry] | None:
    """Return which outputs of encode the user named.

    Raises:
        ValueError: it is neither one position or name nor two.
    """
    if chosen is None or (isinstance(chosen, int | str) and not isinstance(chosen, bool)):
        return chosen
    good = (
        isinstance(chosen, tuple | list)
        and len(chosen) == 2
        and all(isinstance(one, int | str) and not isinstance(one, bool) for one in chosen)
    )
    if not good:
        raise ValueError(
            f"posterior={show(chosen)}: expected the places or names of mean and log_var among what encode gives, as "
            "(0, 1)"
        )
    pair: tuple[Entry, Entry] = (chosen[0], chosen[1])  # type: ignore[index]
    return pair


def observation_of(given: object, n: int, shape: tuple[int, ...], name: str = "decode") -> Tensor:
    """Return the observations from the output of decode.

    Args:
        given: a tensor, a distribution (whose mean is used), an object or mapping with named entries, or several
            outputs of which one has the shape of observations.
        n: the expected number of observations.
        shape: the shape of one observation in the model.
        name: the function's name, for messages.

    Raises:
        ValueError: the output has none of these forms; one line.
    """
    expected = f"expected [{n}, {', '.join(map(str, shape))}]"
    array = _as_tensor(given)
    if array is not None:
        return array
    if isinstance(given, Distribution):
        mean: Tensor = given.mean
        return mean
    if isinstance(given, tuple | list) and not hasattr(given, "_fields"):
        return _of_outputs(given, n, shape, expected, name)
    if given is not None:
        for entry in _DECODED:
            inner = _entry(given, entry)
            if isinstance(inner, Distribution) or _as_tensor(inner) is not None:
                return observation_of(inner, n, shape, name)
    names = "" if given is None else f" with {_names(given)}"
    raise ValueError(f"{name}: gave {type(given).__name__}{names}, {expected}")


def _of_outputs(given: Sequence[object], n: int, shape: tuple[int, ...], expected: str, name: str) -> Tensor:
    if len(given) == 1:
        return observation_of(given[0], n, shape, name)
    tensors = [_as_tensor(one) for one in given]
    fitting = [one for one in tensors if one is not None and tuple(one.shape) == (n, *shape)]
    if len(fitting) != 1 or any(one is None for one in tensors):
        raise ValueError(
            f"{name}: gave {len(given)} outputs ({_listed(given)}); {expected}, one tensor of observations"
        )
    return fitting[0]


def in_floats(values: Tensor) -> Tensor:
    """Return half-precision floats and integers as 32-bit floats, and other types unchanged."""
    short = values.dtype in (torch.float16, torch.bfloat16)
    return values.float() if short or not (values.is_floating_point() or values.is_complex()) else values
