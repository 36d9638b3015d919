"""Which credentials go to which registry."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from controller.images.credentials import ANONYMOUS, find_credentials
from upwell.api.image_reference import parse_image_reference
from upwell.api.objects import Object, new_object
from upwell.api.resources import SECRET


def secret(registries: Mapping[str, Any], kind: str = "dockerconfigjson") -> Object:
    """`registries` is what is known of each."""
    content = registries if kind == "dockercfg" else {"auths": registries}
    data = {f".{kind}": base64.b64encode(json.dumps(content).encode()).decode()}
    return new_object(SECRET, "shop", "pull", type=f"kubernetes.io/{kind}", data=data)


def login(name: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:pass:word".encode()).decode()}


def user_for(image: str, *secrets: Object) -> str:
    return find_credentials(parse_image_reference(image), secrets).user


@pytest.mark.parametrize("kind", ["dockerconfigjson", "dockercfg"])
def test_both_shapes_of_secrets_are_read(kind: str) -> None:
    found = find_credentials(parse_image_reference("ghcr.io/a/b:1"), [secret({"ghcr.io": login("me")}, kind)])

    assert (found.user, found.password) == ("me", "pass:word")


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_the_default_registry_is_known_by_all_of_its_names(key: str) -> None:
    assert user_for("hello", secret({key: login("hub")})) == "hub"


def test_the_longest_path_that_fits_counts() -> None:
    given = secret({"r.io": login("all"), "r.io/team": login("team"), "r.io/teammate": login("other")})

    assert user_for("r.io/team/app:1", given) == "team"
    assert user_for("r.io/else/app:1", given) == "all"


def test_a_star_stands_for_one_label_of_the_host() -> None:
    given = secret({"*.dkr.example.com": login("star")})

    assert user_for("one.dkr.example.com/app", given) == "star"
    assert user_for("a.b.dkr.example.com/app", given) == ""


def test_another_registry_gets_nothing() -> None:
    assert find_credentials(parse_image_reference("evil.io/app"), [secret({"good.io": login("me")})]) is ANONYMOUS


@pytest.mark.parametrize("data", [{}, {".dockerconfigjson": "???"}, {".dockerconfigjson": "W10="}])
def test_a_secret_that_cannot_be_read_is_passed_over(data: dict[str, str]) -> None:
    broken = new_object(SECRET, "shop", "pull", type="kubernetes.io/dockerconfigjson", data=data)

    assert user_for("r.io/app", broken, secret({"r.io": login("me")})) == "me"


def test_passwords_are_not_shown_in_logs() -> None:
    found = find_credentials(parse_image_reference("r.io/app"), [secret({"r.io": login("me")})])

    assert "pass:word" not in repr(found)
