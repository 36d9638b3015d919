"""An authority of the cluster's own: what it signs, when it is succeeded, and who is trusted meanwhile."""

from cryptography import x509

from controller.issuing.authority import ends_at, next_authorities, next_leaf

DAY = 86_400.0
START = 1_800_000_000.0
NAMES = ["app.shop.example.com"]


def certificates(data: dict[str, bytes], key: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(data[key])


def test_a_leaf_is_signed_by_the_authority_for_ninety_days_and_left_alone_for_sixty() -> None:
    authorities, secret = next_authorities({}, START)
    assert secret is not None
    leaf = next_leaf({}, NAMES, authorities, START)
    assert leaf is not None
    certificates(leaf, "tls.crt")[0].verify_directly_issued_by(certificates(leaf, "ca.crt")[0])
    assert ends_at(leaf) == START + 90 * DAY
    assert next_leaf(leaf, NAMES, authorities, START + 59 * DAY) is None
    assert next_leaf(leaf, NAMES, authorities, START + 61 * DAY) is not None


def test_a_leaf_is_replaced_when_its_names_change_or_its_key_is_another() -> None:
    authorities, _ = next_authorities({}, START)
    leaf = next_leaf({}, NAMES, authorities, START)
    other = next_leaf({}, NAMES, authorities, START)
    assert leaf is not None
    assert other is not None
    assert next_leaf(leaf, [*NAMES, "www.example.com"], authorities, START) is not None
    assert next_leaf({**leaf, "tls.key": other["tls.key"]}, NAMES, authorities, START) is not None
    assert next_leaf({**leaf, "tls.crt": b"rubbish"}, NAMES, authorities, START) is not None


def test_an_authority_is_kept_as_it_is_until_a_third_of_its_year_is_left() -> None:
    _, secret = next_authorities({}, START)
    assert secret is not None
    assert next_authorities(secret, START + 240 * DAY)[1] is None


def test_a_successor_is_trusted_for_a_day_before_it_signs() -> None:
    first, secret = next_authorities({}, START)
    assert secret is not None
    leaf = next_leaf({}, NAMES, first, START)
    assert leaf is not None
    later = START + 250 * DAY

    both, secret = next_authorities(secret, later)
    assert secret is not None
    assert len(both) == 2
    assert both[0][0] == first[0][0], "it is not trusted everywhere yet"
    published = next_leaf({}, NAMES, both, later)
    assert published is not None
    certificates(published, "tls.crt")[0].verify_directly_issued_by(first[0][0])
    assert len(certificates(published, "ca.crt")) == 2

    then, secret = next_authorities(secret, later + 2 * DAY)
    assert secret is not None
    assert then[0][0] == both[1][0]
    moved = next_leaf(published, NAMES, then, later + 2 * DAY)
    assert moved is not None
    certificates(moved, "tls.crt")[0].verify_directly_issued_by(then[0][0])
    assert certificates(published, "ca.crt")[1] == then[0][0], "who has read the old bundle trusts the new one"


def test_an_authority_that_is_over_is_no_longer_trusted() -> None:
    _, secret = next_authorities({}, START)
    assert secret is not None
    (only,), _ = next_authorities(secret, START + 400 * DAY)
    assert only[0] != certificates(secret, "ca.crt")[0]


def test_rubbish_in_the_secret_is_replaced() -> None:
    authorities, secret = next_authorities({"ca.crt": b"x", "ca.key": b"-----END PRIVATE KEY-----\n"}, START)
    assert len(authorities) == 1
    assert secret is not None
