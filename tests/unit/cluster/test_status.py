"""A status is written when it differs, and at no other time."""

from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import new_object
from upwell.api.resources import INGRESS
from upwell.cluster.status import apply_status


async def test_a_status_is_written_once() -> None:
    api = FakeApi()
    obj = await api.create(INGRESS, new_object(INGRESS, "default", "hello", spec={"a": 1}))
    api.writes.clear()

    written = await apply_status(api, INGRESS, obj, {"observedGeneration": 1})
    again = await apply_status(api, INGRESS, written, {"observedGeneration": 1})

    assert again is written
    assert written["spec"] == {"a": 1}
    assert [verb for verb, _, _ in api.writes] == ["update_status"]
