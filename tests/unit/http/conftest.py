import pytest

from tests.unit.http.world import World


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def _kernel_without_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers are no sockets that the kernel could be asked about."""
    monkeypatch.setattr("upwell.http.upstream.has_news", lambda transport: False)
