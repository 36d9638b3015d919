"""A source is read while nobody holds it."""

import pytest

from tests.unit.http.world import Peer, World
from upwell.http.flow import BODY_HELD, PEER_FULL, FlowControl


@pytest.fixture
async def peer(world: World) -> Peer:
    return world.client()


async def test_the_first_reason_pauses_and_the_last_one_resumes(peer: Peer) -> None:
    flow = FlowControl(peer)  # type: ignore[arg-type]

    flow.hold(PEER_FULL)
    flow.hold(BODY_HELD)
    flow.hold(PEER_FULL)
    assert peer.paused
    flow.release(PEER_FULL)
    assert peer.paused
    flow.release(BODY_HELD)
    assert not peer.paused


async def test_releasing_what_was_not_held_does_nothing(peer: Peer) -> None:
    flow = FlowControl(peer)  # type: ignore[arg-type]

    flow.release(PEER_FULL)
    flow.hold(BODY_HELD)
    flow.release(PEER_FULL)

    assert peer.paused


async def test_a_closed_transport_is_left_alone(peer: Peer) -> None:
    flow = FlowControl(peer)  # type: ignore[arg-type]
    peer.close()

    flow.hold(PEER_FULL)
    flow.release(PEER_FULL)

    assert not peer.paused
