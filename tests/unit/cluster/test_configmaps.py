"""Config maps: settings as they are now, none where there is none."""

from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import new_object
from upwell.api.resources import CONFIG_MAP
from upwell.clock import FakeClock
from upwell.cluster.configmaps import ConfigMaps
from upwell.cluster.runtime import running


def put(api: FakeApi, name: str, namespace: str = "system", **data: str) -> None:
    api.put(CONFIG_MAP, new_object(CONFIG_MAP, namespace, name, data=data))


async def test_settings_are_current_and_the_example_is_none() -> None:
    api, clock = FakeApi(), FakeClock()
    put(api, "config-a", _example="long text", key="1")
    put(api, "config-b", namespace="other", key="2")
    maps = ConfigMaps(api, "system", clock=clock)
    async with running({"maps": maps.run()}):
        await clock.advance(0)
        await maps.wait_synced()
        assert maps.get("config-a") == {"key": "1"}
        assert maps.get("config-b") == {}

        put(api, "config-a", key="3")
        await clock.advance(0)
        assert maps.get("config-a") == {"key": "3"}


async def test_only_changes_of_settings_are_told() -> None:
    api, clock = FakeApi(), FakeClock()
    put(api, "config-a", key="1")
    maps = ConfigMaps(api, "system", clock=clock)
    told: list[str] = []
    maps.on_change(told.append)
    async with running({"maps": maps.run()}):
        await clock.advance(0)
        put(api, "config-a", key="1", _example="new text")
        await clock.advance(0)
        assert told == ["config-a"]

        put(api, "config-a", key="2")
        await clock.advance(0)
        api.remove(CONFIG_MAP, "system", "config-a")
        await clock.advance(0)
        assert told == ["config-a"] * 3
        assert maps.get("config-a") == {}
