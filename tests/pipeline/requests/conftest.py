"""What the tests of requests share: an app of each test's own, and batches over the account."""

import pytest

from mobexport.pipeline.requests.batches import Batches


@pytest.fixture
def app(make_request) -> str:
    return make_request().app


@pytest.fixture
def batches(storage, registry) -> Batches:
    return Batches(storage, registry)
