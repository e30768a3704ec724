import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoimg.attenuation import factor_to_120kvp, hu_at_kvp


@pytest.mark.parametrize(("kvp", "hu"), [(120, 130.0), (100, 147.7), (70, 206.3)])
def test_published_factors(kvp, hu):
    assert hu_at_kvp(130.0, kvp) == pytest.approx(hu, abs=0.1)


@pytest.mark.parametrize("kvp", [None, 0, -5, math.nan, math.inf])
def test_unknown_voltage_leaves_the_value(kvp):
    assert hu_at_kvp(150.0, kvp) == 150.0


def test_between_and_beyond():
    assert 0.63 < factor_to_120kvp(80) < 0.88
    assert 1.0 < factor_to_120kvp(140) < 1.15
    assert factor_to_120kvp(40) == factor_to_120kvp(70)
    assert factor_to_120kvp(400) == factor_to_120kvp(150)


@given(st.floats(70, 149), st.floats(0.01, 1))
def test_factor_rises_with_voltage(kvp, step):
    assert factor_to_120kvp(kvp + step) > factor_to_120kvp(kvp)
