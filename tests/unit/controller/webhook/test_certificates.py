"""The webhook's certificates over years: always something valid to serve with, always trusted by who calls."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from controller.webhook.certificates import AUTHORITIES, AUTHORITY_KEY, CERTIFICATE, KEY, next_data
from upwell.api.objects import timestamp_seconds

NAMES = ("webhook.knative-serving.svc", "webhook")
START = timestamp_seconds("2026-01-01T00:00:00Z")
DAY = 86400.0
Data = dict[str, bytes]


def fresh(now: float = START) -> Data:
    data = next_data({}, NAMES, now, published=False)
    assert data is not None
    return data


def is_trusted(data: Data, bundle: bytes, now: float) -> bool:
    """Whether a caller that trusts `bundle` takes what is served at that time."""
    store = Store(x509.load_pem_x509_certificates(bundle))
    policy = PolicyBuilder().store(store).time(datetime.fromtimestamp(now, UTC))
    verifier = policy.build_server_verifier(x509.DNSName(NAMES[0]))
    try:
        verifier.verify(x509.load_pem_x509_certificate(data[CERTIFICATE]), [])
    except x509.verification.VerificationError:
        return False
    return True


def test_an_empty_secret_gets_an_authority_and_a_certificate_that_it_signed() -> None:
    data = fresh()

    assert set(data) == {AUTHORITIES, AUTHORITY_KEY, CERTIFICATE, KEY}
    assert is_trusted(data, data[AUTHORITIES], START)
    assert next_data(data, NAMES, START, published=False) is None


def test_over_three_years_every_caller_trusts_what_is_served_at_every_hour() -> None:
    data, bundle = fresh(), b""
    certificates, authorities = set(), set()
    for hour in range(0, 3 * 365 * 24, 6):
        now = START + hour * 3600
        while step := next_data(data, NAMES, now, published=bundle == data[AUTHORITIES]):
            data = step
            # What was just renewed is served before the callers hear of it.
            assert not bundle or is_trusted(data, bundle, now)
        bundle = data[AUTHORITIES]
        assert is_trusted(data, bundle, now)
        certificates.add(data[CERTIFICATE])
        authorities.add(x509.load_pem_x509_certificates(bundle)[0])

    assert len(certificates) > 3 * 12
    assert 4 <= len(authorities) <= 6


def test_a_new_authority_signs_only_when_it_was_published() -> None:
    data, now = fresh(), START
    while len(x509.load_pem_x509_certificates(data[AUTHORITIES])) == 1:
        now += DAY
        before, data = data, next_data(data, NAMES, now, published=True) or data
        assert now < START + 365 * DAY

    assert data[CERTIFICATE] == before[CERTIFICATE]
    assert next_data(data, NAMES, now, published=False) is None
    signed = next_data(data, NAMES, now, published=True)
    assert signed is not None
    assert not is_trusted(signed, before[AUTHORITIES], now)
    assert is_trusted(signed, data[AUTHORITIES], now)


def test_an_authority_that_is_over_is_not_trusted_any_longer() -> None:
    data = fresh()
    for day in range(0, 400, 5):
        while step := next_data(data, NAMES, START + day * DAY, published=True):
            data = step

    assert len(x509.load_pem_x509_certificates(data[AUTHORITIES])) == 1


def test_other_names_need_another_certificate_of_the_same_authority() -> None:
    data = fresh()

    moved = next_data(data, (*NAMES, "webhook.elsewhere.svc"), START, published=True)

    assert moved is not None
    assert moved[AUTHORITIES] == data[AUTHORITIES]
    assert moved[CERTIFICATE] != data[CERTIFICATE]


def test_rubbish_and_what_another_left_without_its_key_are_replaced() -> None:
    data = fresh()
    foreign = {name: content for name, content in data.items() if name != AUTHORITY_KEY}

    for broken in ({**data, KEY: b"rubbish"}, {**data, CERTIFICATE: b""}, {AUTHORITIES: b"x", CERTIFICATE: b"y"}):
        repaired = next_data(broken, NAMES, START, published=True)
        assert repaired is not None
        assert is_trusted(repaired, repaired[AUTHORITIES], START)
    taken_over = next_data(foreign, NAMES, START, published=False)
    assert taken_over is not None
    assert taken_over[CERTIFICATE] == data[CERTIFICATE]
    assert is_trusted(taken_over, data[AUTHORITIES], START)
