"""The lines of ANSWER.md that fit a mixture to codes give data like the training data, where the prior does not."""

import re
from pathlib import Path
from typing import Any

import numpy as np

ANSWER = Path(__file__).parents[1] / "ANSWER.md"


def run(**given: Any) -> dict[str, Any]:
    """Run the page's Python with these names, and return all names."""
    (code,) = re.findall(r"```python\n(.*?)```", ANSWER.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = dict(given)
    exec(code, names)  # a page of this repository
    return names


def test_the_lines_draw_from_the_code_cloud() -> None:
    """Observations are two points, whose clouds lie at -3 and 3 with spread 0.1; the decoder returns z."""
    x_train = np.repeat([[-3.0], [3.0]], 500, axis=0)
    names = run(
        x_train=x_train,
        encode=lambda x: (x, np.full(x.shape, 2 * np.log(0.1))),
        decode=lambda z: z,
    )
    new = names["x_new"]
    assert new.shape == (50_000, 1)
    assert np.all(np.abs(np.abs(new) - 3) < 1) and abs((new > 0).mean() - 0.5) < 0.03
    assert abs(np.abs(new).std() - 0.1) < 0.02
    # what the prior would give the decoder: hardly anything from where the clouds are
    prior = np.random.default_rng(1).standard_normal((50_000, 1))
    assert np.mean(np.abs(np.abs(prior) - 3) < 1) < 0.1
