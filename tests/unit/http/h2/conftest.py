import pytest

from tests.unit.http.h2.world import Http2World


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> Http2World:
    monkeypatch.setattr("upwell.http.h2.upstream.has_ended", lambda transport: False)
    return Http2World()
