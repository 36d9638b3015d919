import pytest

from tests.unit.http.h2.world import Http2World


@pytest.fixture
async def world() -> Http2World:
    return Http2World()
