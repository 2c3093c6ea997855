"""The hosts of a database address, and their order."""

import pytest

from gateway.store.hosts import Host, HostOrder, hosts_of, target_of

FIRST, SECOND, THIRD = Host("a", 1), Host("b", 2), Host("c", 3)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://user:secret@db1:5433,db2:5434/gateway", [("db1", 5433), ("db2", 5434)]),
        ("postgresql://db1,db2:5434,10.0.0.3/gateway", [("db1", None), ("db2", 5434), ("10.0.0.3", None)]),
        ("postgres://[::1]:5433,[fe80::2]/gateway", [("::1", 5433), ("fe80::2", None)]),
        ("postgresql:///gateway?host=db1,db2&port=5433,5434", [("db1", 5433), ("db2", 5434)]),
        (
            "postgresql://user@/gateway?host=/run/postgresql,db2&port=5433",
            [("/run/postgresql", 5433), ("db2", 5433)],
        ),
        ("postgresql://%2Frun%2Fpostgresql/gateway", [("/run/postgresql", None)]),
        ("postgresql:///gateway", []),
    ],
)
def test_hosts_are_those_of_the_address_in_its_order(url: str, hosts: list[tuple[str, int | None]]) -> None:
    assert hosts_of(url) == hosts


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://user:sec@ret@db1/gateway", "malformed"),
        ("postgresql://user:sec#ret@db1/gateway", "malformed"),
        ("postgresql://user:sec/ret@db1/gateway", "port"),
        ("postgresql://user:5?sec&ret@db1/gateway", "malformed"),
        ("postgresql://user:[secret@db1/gateway", "malformed"),
        ("postgresql://db1:secret/gateway", "port"),
        ("postgresql://db1:99999999999999999999/gateway", "port"),
        ("postgresql://db1,,db2/gateway", "no name"),
        ("postgresql://db1,db2,db3/gateway?port=1,2", "another number of ports"),
    ],
)
def test_an_address_that_cannot_be_read_is_named_without_its_password(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        hosts_of(url)
    assert "sec" not in str(caught.value)
    assert "ret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("postgresql://db1,db2/gateway?target_session_attrs=primary&sslmode=require", "primary"),
        ("postgresql://db1/gateway", None),
    ],
)
def test_the_target_session_attrs_of_an_address_are_read(url: str, target: str | None) -> None:
    assert target_of(url) == target


def test_a_host_is_written_as_in_an_address() -> None:
    assert [str(Host("db1", None)), str(Host("::1", 5432))] == ["db1", "[::1]:5432"]


def test_the_last_good_host_is_first_and_those_without_response_are_last() -> None:
    order = HostOrder([FIRST, SECOND, THIRD])
    assert not order.good(SECOND)
    assert [*order] == [SECOND, FIRST, THIRD]
    order.unresponsive(SECOND)
    assert [*order] == [FIRST, THIRD, SECOND]
    assert order.good(THIRD)
    assert not order.good(THIRD)
    assert [*order] == [THIRD, FIRST, SECOND]
