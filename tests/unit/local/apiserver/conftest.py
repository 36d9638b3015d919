import pytest

from tests.unit.local.apiserver.world import World


@pytest.fixture
def world() -> World:
    return World()
