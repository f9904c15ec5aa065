"""Contract suites for tests of outside code: what every sampler, metric, prior and data source must satisfy.

Each suite is a dictionary `LAWS` of functions that take the object and raise AssertionError. Needs pytest.

Example:
    >>> from priorgap.testing.sampler_contract import LAWS  # doctest: +SKIP
    >>> @pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)  # doctest: +SKIP
    ... def test_mine(law):
    ...     law(Mine())
"""
