"""A check of a user's model on a few rows before anything expensive: whether it behaves as `compare` expects."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.core.batched_calls import takes_label
from priorgap.core.findings import Finding, Severity
from priorgap.core.latents import Latents
from priorgap.data.splits import Split
from priorgap.evaluation.model import ModelFunctions
from priorgap.metrics.copies import rows_of

# The number of rows of the training and of the test data that are checked.
N_ROWS = 64
# A posterior mean that changes by more than this share of its own spread counts as changed.
_MOVED = 1e-3
_LOG_VAR = 30.0
_ACTIVE = 0.01
_SPREAD = 100.0
# Decoded values more than a tenth of the data's range beyond it are outside; a larger share of them is too much.
_BEYOND, _SHARE_BEYOND = 0.1, 0.05
_CONSTANT = 1e-6
_SHARED_STOP = 0.5


@dataclass(frozen=True, eq=False)
class _Probe:
    """The model's results for a few rows.

    Attributes:
        x: the rows, training rows first, in the model's form.
        again: a second encoding of the same batch.
        elsewhere: an encoding of the same rows in batches of other rows.
        posterior: the first encoding.
        decoded: the rows decoded from the posterior means.
        mean_error: for each row the squared error of the training data's mean observation.
        range: the least and the largest value of the training data.
    """

    x: Float[Tensor, "n D"]
    posterior: Latents
    again: Latents
    elsewhere: Latents
    decoded: Float[Tensor, "n D"]
    mean_error: float
    range: tuple[float, float]


def probe_model(
    model: ModelFunctions,
    parts: Mapping[str, Split],
    *,
    standard_normal: bool,
    in_model: Callable[[float], float] = float,
) -> list[Finding]:
    """Return findings on a model and its data, from 64 training and 64 test rows; the worst first.

    Rows that train and test share are searched only where the model itself can be measured.

    Args:
        model: the model; a model without an encoder is not checked here.
        parts: train and test, and validation.
        standard_normal: whether its prior is N(0, I), so that units far from variance 1 are a fault.
        in_model: converts a stored value to the user's range, for sentences.

    Raises:
        ValueError: a callable's result has another shape or kind; one line.
    """
    found: list[Finding] = []
    if model.encode is not None:
        probe = _probed(model, parts["train"], parts["test"])
        # Causes come before consequences: the results of encode before what decode makes of them.
        checks = [_repeatable(probe)]
        if probe.posterior.log_var is not None:
            checks += [_log_var(probe.posterior.log_var)]
        if probe.posterior.log_var is not None and standard_normal:
            checks += [_moments(probe.posterior)]
        else:
            checks += [_collapsed(probe.posterior)]
        checks += [_of_decoder(probe, in_model)]
        found = [finding for check in checks for finding in check]
    # All rows are searched for shared ones, unless the model must be corrected first.
    if not any(finding.severity == "stop" for finding in found):
        found += _shared_rows(parts)
    order = get_args(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _probed(model: ModelFunctions, train: Split, test: Split) -> _Probe:
    few = [part.take(slice(0, N_ROWS)) for part in (train, test)]
    both = _joined(few)
    small = replace(model, encode_batch=len(both), decode_batch=min(model.decode_batch, len(both)))
    # The caller's random state is preserved, whatever the model draws.
    with torch.random.fork_rng(devices=[]):
        posterior, again = small.posteriors(both), small.posteriors(both)
        order = torch.arange(len(both)).view(-1).flip(0)
        half = max(1, len(both) // 2 - 1)
        other = replace(model, encode_batch=half).posteriors(both.take(order))
        label = both.label if takes_label(model.decode) else None
        decoded = small.decoded(posterior.mean.float(), label, posterior.context).flatten(1).double()
    x = both.floats().flatten(1).double()
    sums, lows, highs = zip(
        *((part.double().sum(0), float(part.min()), float(part.max())) for part in _float_parts(train)),
        strict=True,
    )
    error = float((x - torch.stack(sums).sum(0) / len(train)).square().sum(1).mean())
    return _Probe(x, posterior, again, other.take(order), decoded, error, (min(lows), max(highs)))


def _float_parts(split: Split) -> Iterator[Float[Tensor, "n D"]]:
    for start in range(0, len(split), 4096):
        yield split.take(slice(start, start + 4096)).floats().flatten(1)


def _joined(parts: Sequence[Split]) -> Split:
    labels = [part.label for part in parts if part.label is not None]
    label = torch.cat(labels) if len(labels) == len(parts) else None
    contexts = [part.context for part in parts if part.context is not None]
    context = torch.cat(contexts) if len(contexts) == len(parts) else None
    return parts[0].alike(torch.cat([part.x for part in parts]), label, context)


def _repeatable(probe: _Probe) -> Iterator[Finding]:
    """Check that a row's posterior depends only on the row."""
    twice = _moved(probe.posterior, probe.again)
    if twice > _MOVED:
        yield Finding(
            "stop", "encode_not_repeatable", twice, _MOVED,
            "Call .eval() on the model, and return mean and log_var from encode: it gives another answer the second "
            f"time (means move by {twice:.2g} of their spread), so dropout is active or it returns a draw of z.",
        )  # fmt: skip
        return
    company = _moved(probe.posterior, probe.elsewhere)
    if company > _MOVED:
        yield Finding(
            "stop", "encode_depends_on_batch", company, _MOVED,
            f"Call .eval() on the model: encode gives a row another answer beside other rows (means move by "
            f"{company:.2g} of their spread), so batch normalisation is in train mode.",
        )  # fmt: skip


def _moved(a: Latents, b: Latents) -> float:
    """Return the largest difference of means (relative to their spread) or of log-variances (in nats)."""
    mean = a.mean.double()
    spread = float((mean - mean.mean(0)).square().mean().sqrt())
    moved = float((mean - b.mean.double()).abs().max()) / max(spread, 1e-6)
    if a.log_var is None or b.log_var is None:
        return moved
    return max(moved, float((a.log_var.double() - b.log_var.double()).abs().max()))


def _of_decoder(probe: _Probe, in_model: Callable[[float], float]) -> Iterator[Finding]:
    low, high = probe.range
    margin = _BEYOND * (high - low)
    beyond = float(((probe.decoded < low - margin) | (probe.decoded > high + margin)).double().mean())
    if beyond > _SHARE_BEYOND:
        least, most = in_model(float(probe.decoded.min())), in_model(float(probe.decoded.max()))
        yield Finding(
            "stop", "decoder_range", beyond, _SHARE_BEYOND,
            "Return E[x|z] in the range of the data from decode: it gives values from "
            f"{least:.3g} to {most:.3g} (logits, or another scale), the data go from {in_model(low):.3g} to "
            f"{in_model(high):.3g}.",
        )  # fmt: skip
    scatter = float(probe.decoded.var(0).sum())
    if scatter <= _CONSTANT * probe.mean_error:
        yield Finding(
            "stop", "constant_decoder", scatter, _CONSTANT * probe.mean_error,
            "Train the model, or let decode use z, first: it gives the same observation for every row.",
        )  # fmt: skip
        return
    error = float((probe.decoded - probe.x).square().sum(1).mean())
    ratio = error / probe.mean_error if probe.mean_error > 0 else (1.0 if error > 0 else 0.0)
    if ratio >= 1:
        yield Finding(
            "stop", "reconstructions_no_better_than_the_mean", ratio, 1.0,
            "Train the model first, or check that encode and decode belong together: reconstructions are no closer "
            f"to their rows than the mean observation is (squared error {ratio:.3g} times as large).",
        )  # fmt: skip


def _log_var(log_var: Float[Tensor, "n d"]) -> Iterator[Finding]:
    least, most = float(log_var.min()), float(log_var.max())
    if max(-least, most) > _LOG_VAR:
        yield Finding(
            "stop", "log_var_range", max(-least, most), _LOG_VAR,
            f"Check log_var first: it goes from {least:.3g} to {most:.3g} (posteriors of no width, or wider than any "
            "prior), so training has diverged or another output was returned in its place.",
        )  # fmt: skip
    if least >= 0:
        yield Finding(
            "stop", "sigma_for_log_var", least, 0.0,
            f"Return the logarithm of the variance from encode: its log_var is never below 0 (least {least:.3g}), as "
            "sigma or a variance is, and every posterior would be as wide as the prior, or wider.",
        )  # fmt: skip


def _moments(posterior: Latents) -> Iterator[Finding]:
    """Check that units have about the variance of the prior N(0, I), and whether log_var was read correctly."""
    assert posterior.log_var is not None
    yield from _collapsed(posterior)
    mean, log_var = posterior.mean.double(), posterior.log_var.double()
    of_mean = mean.var(0, correction=0)
    total = of_mean + log_var.clamp(-_LOG_VAR, _LOG_VAR).exp().mean(0)
    if float(total.max()) > _SPREAD:
        yield Finding(
            "stop", "exploded_posteriors", float(total.max()), _SPREAD,
            f"Check the training first: a latent unit has variance {float(total.max()):.3g} where the prior has 1, "
            "so the rate has no weight in the training or training has diverged.",
        )  # fmt: skip
        return
    active = of_mean > _ACTIVE
    if not bool(active.any()) or float(log_var.min()) >= 0:
        return
    given = float(total[active].log().abs().mean())
    as_log_sigma = of_mean + (2 * log_var).clamp(-_LOG_VAR, _LOG_VAR).exp().mean(0)
    halved = float(as_log_sigma[active].log().abs().mean())
    if given > 0.1 and halved < given / 3:
        now, then = float(total[active].mean()), float(as_log_sigma[active].mean())
        yield Finding(
            "warn", "log_sigma_for_log_var", given, 0.1,
            f"Check that encode returns the logarithm of the variance: units have variance {now:.3g} on average, and "
            f"{then:.3g} if log_var is the logarithm of sigma.",
        )  # fmt: skip


def _collapsed(posterior: Latents) -> Iterator[Finding]:
    largest = float(posterior.mean.double().var(0, correction=0).max())
    if largest <= (_ACTIVE if posterior.log_var is not None else 1e-12):
        yield Finding(
            "stop", "nothing_in_the_latent_space", largest, _ACTIVE,
            "Train with a smaller weight of the rate, or let encode use its input, first: no latent unit tells rows "
            f"apart (largest variance of a posterior mean {largest:.2g}).",
        )  # fmt: skip


def _shared_rows(parts: Mapping[str, Split]) -> Iterator[Finding]:
    train = rows_of(parts["train"])
    for name in ("test", "validation"):
        if name not in parts:
            continue
        n = train.shared(parts[name].x)
        share = n / len(parts[name])
        alike = ", to within a grey level" if parts[name].modality.grain else ""
        if n:
            yield Finding(
                "stop" if share >= _SHARED_STOP else "warn", f"rows_shared_by_train_and_{name}", share, 0.0,
                f"Leave shared rows out of one of the two: {n} of {len(parts[name])} {name} rows are training rows "
                f"too ({share:.1%}{alike}), and nothing is said of unseen data by them.",
            )  # fmt: skip


def guarded(function: Callable[..., Any], buffers: Mapping[str, Tensor]) -> Callable[..., Any]:
    """Return a callable that restores buffers after each call, because a model left in train mode changes them."""
    kept = {name: value.detach().clone() for name, value in buffers.items()}
    if not kept:
        return function

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        finally:
            with torch.no_grad():
                for name, value in kept.items():
                    buffers[name].copy_(value)

    return call


def buffers_of(*functions: Callable[..., Any] | None) -> dict[str, Tensor]:
    """Return the named buffers of all modules that callables are, are bound to, close over or name."""
    modules = modules_of(*functions)
    return {f"{i}.{name}": b for i, module in enumerate(modules) for name, b in module.named_buffers()}


def modules_of(*functions: Callable[..., Any] | None) -> list[nn.Module]:
    """Return all modules that callables are, are bound to, close over or name."""
    found: dict[int, nn.Module] = {}
    for function in functions:
        for value in _reached(function):
            if isinstance(value, nn.Module):
                found[id(value)] = value
    return list(found.values())


def _reached(function: Callable[..., Any] | None) -> Iterator[object]:
    inner: object = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    owner = getattr(inner, "__self__", None)
    yield from (function, inner, owner)
    if isinstance(inner, partial):
        yield from _reached(inner.func)
        yield from (*inner.args, *inner.keywords.values())
    if not isinstance(owner, nn.Module) and not inspect.ismodule(owner):
        # The owner is a user's object that holds its networks.
        yield from getattr(owner, "__dict__", {}).values()
    plain = getattr(inner, "__func__", inner)
    if inspect.isfunction(plain):
        variables = inspect.getclosurevars(plain)
        yield from (*variables.nonlocals.values(), *variables.globals.values())
