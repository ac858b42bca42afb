"""The limits of a query and where they come from."""

import pytest

from scypher.encoders.errors import InputError
from scypher.kg.door import Budget

VARIABLES = ("SCYPHER_QUERY_SECONDS", "SCYPHER_QUERY_ROWS", "SCYPHER_QUERY_TOUCHED")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class TestBudget:
    """Seconds, rows, rows touched."""

    def test_defaults(self) -> None:
        assert Budget.from_environment() == Budget(300.0, 1_000_000, 1e9) == Budget()

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, text in zip(VARIABLES, ("1.5", "20", "3e6"), strict=True):
            monkeypatch.setenv(name, text)
        assert Budget.from_environment() == Budget(1.5, 20, 3e6)

    def test_guests_get_less_and_never_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Budget.guest() == Budget(30.0, 10_000, 1e7)
        monkeypatch.setenv("SCYPHER_QUERY_ROWS", "5")
        monkeypatch.setenv("SCYPHER_QUERY_SECONDS", "500")
        assert Budget.guest() == Budget(30.0, 5, 1e7)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            *((name, text) for name in VARIABLES for text in ("", "x", "0", "-1", "nan", "inf")),
            ("SCYPHER_QUERY_ROWS", "1.5"),
            ("SCYPHER_QUERY_TOUCHED", "0.5"),
        ],
    )
    def test_wrong_variables(self, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
        monkeypatch.setenv(name, text)
        with pytest.raises(InputError, match=f"{name} is .* expected. Correct or unset it"):
            Budget.from_environment()

    @pytest.mark.parametrize(
        "values",
        [
            *({"seconds": 0}, {"seconds": float("inf")}, {"seconds": "1"}),
            *({"rows": 0}, {"rows": 1.5}, {"rows": True}),
            *({"touched": 0}, {"touched": float("nan")}),
        ],
    )
    def test_wrong_values(self, values: dict[str, object]) -> None:
        with pytest.raises(InputError, match="was expected"):
            Budget(**values)  # type: ignore[arg-type]  # that is what is tested
