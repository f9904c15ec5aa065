"""A flow in the lower end: it tightens a curved law, and changes nothing where it is not wanted."""

import math

import torch

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.densities import GaussianMixture
from priorgap.densities.flow import Flow, FlowShape
from priorgap.metrics import KLFlowBracket, bracket_of_kl
from priorgap.metrics.evidence import ModelEvidence

MIXTURE = GaussianMixture(n_components=(1,), n_fit=4_000, max_iter=20, reg_covar=1e-6)
FLOW = Flow(
    FlowShape(kind="nsf", transforms=2, hidden=(32, 32), bins=8, dropout=0.0),
    epochs=8, batch_size=200, learning_rate=1e-2, weight_decay=0.0,
)  # fmt: skip
S = 0.15


def banana(n: int, seed: str, d: int = 6) -> Latents:
    """A parabola in two of d units, the others matched: curved, and too thin for mixtures over posteriors."""
    mean = math.sqrt(1 - S * S) * torch.randn(n, d, generator=stream(0, "banana", seed))
    mean[:, 1] = 0.6 * (mean[:, 0].square() - 1) + 0.3 * mean[:, 1]
    return Latents(mean, torch.full((n, d), 2 * math.log(S)))


PARTS = tuple(banana(2_000, name) for name in ("train", "validation", "test"))


def bracket(extra: dict[str, Flow]) -> tuple[float, float, str]:
    found, name = bracket_of_kl(*PARTS, mixture=MIXTURE, n_draws=1, generator=stream(0), extra=extra)
    return found.lower.value, found.upper.value, name


def test_a_flow_is_chosen_and_tightens_the_lower_end() -> None:
    without, upper, _ = bracket({})
    lower, _, name = bracket({"flow": FLOW})
    assert name == "flow"
    assert without + 0.1 < lower < upper


def matched(seed: str) -> Latents:
    """A model without mismatch in two units."""
    mean = math.sqrt(1 - S * S) * torch.randn(500, 2, generator=stream(1, seed))
    return Latents(mean, torch.full((500, 2), 2 * math.log(S)))


def test_a_flow_that_is_not_the_best_changes_nothing() -> None:
    class Poor(Flow):
        """Its density is a tenth of a normalised one: never chosen."""

        def fit(self, z_train, z_validation, *, generator):
            inner = super().fit(z_train, z_validation, generator=generator)

            class Tenth:
                def log_prob(self, z):
                    return inner.log_prob(z) - math.log(10)

            return Tenth()

    parts, options = [matched(name) for name in ("a", "b", "c")], {"mixture": MIXTURE, "n_draws": 1}
    poor = Poor(FLOW.shape, epochs=1, batch_size=200, learning_rate=1e-2, weight_decay=0.0)
    plain = bracket_of_kl(*parts, **options, generator=stream(0))
    assert bracket_of_kl(*parts, **options, generator=stream(0), extra={"poor": poor}) == plain


def test_the_metric_gives_limits_and_points() -> None:
    metric = KLFlowBracket(mixture=MIXTURE, flow=FLOW, n_draws=1)
    rows = metric.measure(ModelEvidence(*PARTS).alone(), generator=stream(0))
    found = {(r.measure, r.bound): r.value for r in rows}
    assert found["kl_flow", "lower"] < found["kl_flow_point", "lower"] < found["kl_flow", "upper"]
    assert found["kl_flow_point", "upper"] < found["kl_flow", "upper"]
