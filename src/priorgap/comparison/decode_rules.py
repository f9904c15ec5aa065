"""The second decode rule: draws x ~ p(x|z), by the user's own function or by a likelihood around the means."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution

from priorgap.comparison.layout import Layout
from priorgap.comparison.probes import guarded
from priorgap.comparison.supplied_context import other_arguments
from priorgap.comparison.supplied_model import Conventions, Function, Placement, as_stored, placement_of
from priorgap.core.arguments import show
from priorgap.core.batched_calls import (
    Decode,
    needs_context,
    needs_label,
    parameters_of,
    takes_context,
    takes_label,
)
from priorgap.core.build import build, load_option
from priorgap.core.contexts import Values
from priorgap.core.random import draw_seed, isolated
from priorgap.models.decoding import drawn_rows, x_stream
from priorgap.models.likelihoods import Likelihood

DecodeRule = Literal["mean", "draw"]
RULES: tuple[DecodeRule, ...] = get_args(DecodeRule)
MEAN, DRAW = RULES
# The remark where draws of p(x|z) could be measured, too, if the user gave p(x|z).
ONLY_MEANS = (
    "decode gives E[x|z], and p(x|z) around it is not known; draw=, or likelihood= ('bernoulli', or "
    "('gaussian', SIGMA)), tells it"
)
_GENERATOR = "generator"


def model_name(rule: DecodeRule) -> str:
    """Return the model's name in the results for a decode rule."""
    return "model" if rule == MEAN else "model_draw"


def rules_of(given: object, *, draws: bool) -> tuple[DecodeRule, ...]:
    """Return the requested decode rules.

    Args:
        given: one rule or several; None: all that are possible.
        draws: whether draws from p(x|z) are possible.

    Raises:
        ValueError: a rule does not exist, or draws are not possible; one line.
    """
    if given is None:
        return RULES if draws else (MEAN,)
    named = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
    rules = tuple(rule for rule in RULES if rule in named)
    if not named or len(rules) != len(named):
        raise ValueError(f"decode_rule={show(given)}: expected 'mean', 'draw', or ('mean', 'draw')")
    if DRAW in rules and not draws:
        raise ValueError(f"decode_rule={show(given)}: {ONLY_MEANS}")
    return rules


def likelihood_of(given: object) -> Likelihood | None:
    """Return p(x|z) around the means that decode gives.

    Args:
        given: a name in conf/likelihood, (name, sigma), or an object; None for no likelihood.

    Raises:
        ValueError: no likelihood has this name, its scale is missing, or means do not determine it; one line.
    """
    if given is None:
        return None
    if isinstance(given, Likelihood):
        found = given
    else:
        name, sigma = given if isinstance(given, tuple | list) and len(given) == 2 else (given, None)
        if not isinstance(name, str):
            raise ValueError(
                f"likelihood={show(given)}: expected a name, (name, sigma), or a Likelihood of priorgap.models"
            )
        found = _by_name(name, sigma)
    if not found.of_mean:
        raise ValueError(
            f"likelihood={found.name}: what decode gives, E[x|z], does not decide it; expected draw=, a function "
            "(z, generator) -> x"
        )
    return found


def _by_name(name: str, sigma: object) -> Likelihood:
    node = load_option("likelihood", name)
    if sigma is not None:
        good = isinstance(sigma, int | float) and not isinstance(sigma, bool) and 0 < sigma < math.inf
        if "sigma" not in node or not good:
            raise ValueError(
                f"likelihood={show((name, sigma))}: expected "
                + ("a positive number for sigma" if "sigma" in node else f"{name!r} alone: it has no sigma")
            )
        node = {**node, "sigma": float(sigma)}  # type: ignore[arg-type]
    elif "sigma" in node:
        raise ValueError(
            f"likelihood={name!r}: its sigma is missing; expected ({name!r}, SIGMA), in the units of decode's values"
        )
    built: Likelihood = build(node, Likelihood, where=f"likelihood.{name}")
    return built


@dataclass(frozen=True, eq=False)
class Drawing:
    """How x is drawn from p(x|z), and which decode rules are measured.

    Attributes:
        rules: the decode rules, the mean first.
        function: the user's own draws.
        likelihood: p(x|z) around the means.
        seed: the seed of the noise.
    """

    rules: tuple[DecodeRule, ...]
    function: Function | None
    likelihood: Likelihood | None
    seed: int

    @classmethod
    def of(
        cls,
        rules: object,
        draw: Function | None,
        likelihood: object,
        decode: Function,
        *,
        context: bool,
        seed: int,
    ) -> "Drawing":
        """Build it from the arguments of `compare`.

        Raises:
            ValueError: an argument cannot be used; one line.
        """
        _check_draw(draw, decode, likelihood, context=context)
        known = likelihood_of(likelihood)
        return cls(rules_of(rules, draws=draw is not None or known is not None), draw, known, seed)

    def decoder(
        self,
        of_means: Decode,
        conventions: Conventions,
        buffers: Mapping[str, Tensor],
        device: str | torch.device | None,
    ) -> Decode:
        """Return a function from z to a draw of x, with the same signature as decode."""
        if self.function is not None:
            own = guarded(self.function, buffers)
            return of_function(own, conventions, placement_of(self.function, "draw", device), self.seed)
        assert self.likelihood is not None
        return of_likelihood(of_means, self.likelihood, conventions.layout, self.seed)


def _check_draw(draw: Function | None, decode: Function, likelihood: object, *, context: bool) -> None:
    """Refuse a function that would not get the arguments it needs.

    Raises:
        ValueError: one line.
    """
    if draw is None:
        return
    if not callable(draw):
        raise ValueError(f"draw={show(draw)}: expected a callable (z, generator) -> x")
    if likelihood is not None:
        raise ValueError("likelihood: given beside draw=; expected one of the two")
    if needs_label(draw) and not takes_label(decode):
        raise ValueError("draw: takes a label, and decode takes none; expected the same in both")
    if needs_context(draw) and not context:
        raise ValueError("draw: takes a context, and none is given; expected context=(TRAIN, TEST)")
    if takes_context(decode) and not takes_context(draw):
        raise ValueError("draw: takes no context, and decode takes one; expected the same in both")
    others = [name for name in other_arguments(draw) if name != _GENERATOR]
    if others:
        raise ValueError(
            f"draw: takes {', '.join(others)} beside z; expected the names label, context and generator"
        )


def of_function(function: Function, conventions: Conventions, where: Placement, seed: int) -> Decode:
    """Return a user's draws of p(x|z) as a function from z [b, d] to observations in stored form.

    The generator of a batch belongs to (seed, its first z); the global states of torch, numpy and Python are set from
    it, too, and restored, so that `distribution.sample()` gives the same draws each time.
    """
    named = _GENERATOR in parameters_of(function)

    @wraps(function)
    def draw(z: Tensor, label: Tensor | None = None, context: Values | None = None) -> Tensor:
        own = where.put(conventions.latent.own(z))
        generator = x_stream(seed, z[0])
        given: dict[str, Any] = conventions.given(label, context, where)
        if named:
            given[_GENERATOR] = torch.Generator().manual_seed(draw_seed(generator))
        with isolated(generator):
            x = function(own, **given)
            x = x.sample() if isinstance(x, Distribution) else x
        return as_stored(x, len(z), conventions, "draw")

    return draw


def of_likelihood(decode: Decode, likelihood: Likelihood, layout: Layout, seed: int) -> Decode:
    """Return draws of p(x|z) around the means of decode; each row's noise belongs to (seed, its z)."""
    low, high = layout.range
    sigma = getattr(likelihood, "sigma", None)
    # The means are in stored form, in [0, 1], while sigma is in the model's own units.
    scale = None if sigma is None else float(sigma) / (high - low)

    @wraps(decode)
    def draw(z: Tensor, label: Tensor | None = None, context: Values | None = None) -> Tensor:
        given = {name: one for name, one in (("label", label), ("context", context)) if one is not None}
        means = decode(z, **given)
        if likelihood.unit_interval and not (float(means.min()) >= -1e-4 and float(means.max()) <= 1 + 1e-4):
            raise ValueError(
                f"likelihood={likelihood.name}: decode gives values from {layout.in_model(float(means.min())):g} to "
                f"{layout.in_model(float(means.max())):g}; expected probabilities, from {low:g} to {high:g}"
            )
        x = drawn_rows(z, means, likelihood.draw_at, sigma=scale, seed=seed)
        # Stored images lie in [0, 1].
        return x.clamp(0, 1) if x.ndim == 4 else x

    return draw
