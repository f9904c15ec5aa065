"""Which tests run with every annotation of the estimators checked (`make typed`): those that call them rightly."""

import pytest

# of tests that hand over what no annotation allows, to see how it is refused; or that stand for one in a type's place
_WRONG_ON_PURPOSE = (
    "bad_input", "whole_messages", "refused", "memory", "kept_balls", "cells_without", "block_estimate",
    "agresti_coull_by_hand",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if "estimators" in item.path.parts and not any(word in item.name for word in _WRONG_ON_PURPOSE):
            item.add_marker(pytest.mark.typed)
