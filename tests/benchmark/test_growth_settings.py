"""What growth is drawn over, as it is typed."""

from __future__ import annotations

from typing import Any

import pytest

from distill.benchmark.settings import BenchmarkSettings


@pytest.mark.parametrize("over", [None, 3, [1, 4], {"batch": None}, {"batch": 4}])
def test_lists_that_growth_is_drawn_over_are_refused_by_name_where_they_are_none(over: Any) -> None:
    with pytest.raises(ValueError, match=r"benchmark\.growth_over.*: wanted .*lists? .*got"):
        BenchmarkSettings(growth_over=over)
