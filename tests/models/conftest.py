"""Counting without values: a network's numbers need its shapes only."""

import keras
import pytest

from ghostnet_tf.analysis import complexity


@pytest.fixture
def count():
    """`count(builder, …)` builds a network without initializing it, a few times faster, and counts it."""
    with keras.StatelessScope(initialize_variables=False):
        yield lambda builder, *args, **kwargs: complexity(builder(*args, **kwargs))
    keras.utils.clear_session()  # or the next scope would initialize what was built here
