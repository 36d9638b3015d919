import pytest

from tests.unit.http.h2.world import Http2World


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> Http2World:
    monkeypatch.setattr("upwell.http.h2.upstream.has_ended", lambda transport: False)
    monkeypatch.setattr("upwell.http.h2.upstream.is_unacknowledged", lambda transport: True)
    return Http2World()
