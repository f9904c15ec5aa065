"""Every estimator of posteriors in 4 GB of address space, for log-variances and means in +-1000: a diverged model."""

import json
import subprocess
import sys

import pytest

LIMIT = 4 * 1024**3

# torch is imported once; each part then has a process of its own, and the limit
RUN = f"""
import json, os, resource, sys, traceback
import torch
torch.set_num_threads(1)
import priorgap.estimators.bracket, priorgap.estimators.neighbour_index
said = {{}}
for name, code in json.load(sys.stdin).items():
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_AS, ({LIMIT}, {LIMIT}))
            exec(compile(code, name, "exec"), {{}})
            status = 0
        except BaseException:
            os.write(theirs, traceback.format_exc()[-800:].encode())
        os._exit(status)
    os.close(theirs)
    with open(ours) as pipe:
        text = pipe.read()
    said[name] = [os.waitpid(child, 0)[1], text]
print(json.dumps(said))
"""

BEGIN = """
import torch
g = torch.Generator().manual_seed(0)
def posteriors(n, d):
    return tuple(2000 * torch.rand(n, d, generator=g) - 1000 for _ in range(2))
def answered(call, *given, **more):
    # an answer, or one line that says why there is none: draws of such posteriors are no numbers
    try:
        call(*given, **more)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
"""

CALLS = {
    "marginal": """
from priorgap.estimators.marginal import marginal_divergences
for n, d in ((2000, 2), (200, 4)):
    found = marginal_divergences(*posteriors(n, d))
    assert not found.kl.isnan().any() and not found.resolved.any()
# one wide and one narrow unit, each by itself
mean, log_var = posteriors(3000, 2)
log_var = torch.stack([log_var[:, 0] / 100 - 3, log_var[:, 1].clamp(-2, 2)], 1)
assert marginal_divergences(mean / 100, log_var).kl.isfinite().all()
""",
    "dependence": """
from priorgap.estimators.dependence import dependence_brackets
from priorgap.estimators.gaussian import standard_normal_log_prob
from priorgap.estimators.marginal import marginal_divergences
train, test = posteriors(1000, 2), posteriors(500, 2)
more = dict(log_f=standard_normal_log_prob, n_draws=1, generator=g)
answered(dependence_brackets, marginal_divergences(*train), *test, **more)
""",
    "bracket": """
from priorgap.estimators.bracket import kl_upper_bound, train_mixture_kl
mean, log_var = posteriors(5000, 8)
answered(kl_upper_bound, mean, log_var, generator=g)
kl_upper_bound(mean, log_var.clamp(-50, 50), generator=g)
answered(train_mixture_kl, mean, log_var, n_draws=2000, generator=g)
""",
    "half samples": """
from priorgap.estimators.half_samples import prdc_by_halves
real = torch.randn(5000, 16, generator=g)
# at one point, and so far apart that their balls hold all reals
for fake in (torch.zeros(5000, 16), 1000 * torch.randn(5000, 16, generator=g)):
    prdc_by_halves(real, fake, generator=g, n_halves=2)
""",
    "decomposition": """
from priorgap.estimators.decomposition import moment_decomposition
answered(moment_decomposition, *posteriors(20000, 64), generator=g, n_groups=10)
""",
    "mixture": """
from priorgap.estimators.mixture import mixture_log_prob
mean, log_var = posteriors(10000, 8)
mixture_log_prob(mean[:2000], mean, log_var)
""",
    "moments": """
from priorgap.estimators.gaussian import aggregate_moments, rate_per_unit, sample_moments
mean, log_var = posteriors(20000, 64)
rate_per_unit(mean, log_var), aggregate_moments(mean, log_var), sample_moments(mean)
""",
    "unit_dependence": """
from priorgap.estimators.gaussian import aggregate_moments
from priorgap.estimators.unit_dependence import gaussian_dependence
mean, log_var = posteriors(5000, 16)
answered(gaussian_dependence, aggregate_moments(mean, log_var.clamp(-700, 700))[1])
""",
    "distances": """
from priorgap.estimators.distances import radius_test, sliced_wasserstein, squared_mmd
a, b = (x.clamp(-500, 500) for x in posteriors(3000, 8))
squared_mmd(a, b), sliced_wasserstein(a, b, generator=g), radius_test(a)
""",
    "neighbours": """
from priorgap.estimators.copying import nearest_distance
from priorgap.estimators.neighbour_index import NeighbourIndex
from priorgap.estimators.neighbours import squared_radii
a, b = posteriors(10000, 64)
nearest_distance(a[:1000], b), NeighbourIndex.of(b).nearest_two(a[:1000]), squared_radii(b, 5)
# rows at equal distances, of which the bound leaves all
same = torch.ones(10000, 64)
NeighbourIndex.of(same).nearest(same[:200] + 1)
""",
}


TOO_MUCH = "torch.zeros(3000, 200_000, dtype=torch.float64)"


@pytest.fixture(scope="module")
def ends() -> dict[str, tuple[int, str]]:
    """How the process of each part ended, and what it said."""
    parts = {name: BEGIN + code for name, code in {**CALLS, "too much": TOO_MUCH}.items()}
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(parts), capture_output=True, text=True, timeout=900,
        check=True,
    )  # fmt: skip
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", CALLS)
def test_estimators_keep_to_four_gigabytes(ends, name):
    status, said = ends[name]
    assert status == 0, said


def test_the_limit_is_felt(ends):
    """Negative control: what asks for more fails."""
    status, said = ends["too much"]
    assert status != 0 and "memory" in said
