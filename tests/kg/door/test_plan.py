"""The plan lock on plans as a server sends them."""

from typing import Any

import pytest

from scypher.encoders.errors import StoreError
from scypher.kg.door import admit_plan
from scypher.kg.door.plan import OPERATORS


def _plan(*names: str, details: str = "") -> dict[str, Any]:
    """Return a chain of operators, the last with details."""
    plan: dict[str, Any] = {"operatorType": f"{names[-1]}@neo4j", "args": {"Details": details}}
    for name in reversed(names[:-1]):
        plan = {"operatorType": f"{name}@neo4j", "args": {}, "children": [plan]}
    return plan


class TestAdmitPlan:
    """Operators and procedures by name."""

    @pytest.mark.parametrize(
        "names",
        [
            ("ProduceResults", "NodeByLabelScan"),
            ("ProduceResults", "VarLengthExpand(Pruning,BFS,All)", "NodeUniqueIndexSeek"),
            ("ProduceResults", "StatefulShortestPath(Into, Trail)", "CartesianProduct"),
            ("ProduceResults", "Repeat(Trail)", "Argument"),
        ],
    )
    def test_reading_plans_pass(self, names: tuple[str, ...]) -> None:
        admit_plan("r", _plan(*names))

    @pytest.mark.parametrize(
        "name",
        [
            *("Create", "Merge", "Merge(Into)", "SetProperty", "DetachDelete", "LoadCSV"),
            *("ShowSettings", "ShowTransactions", "TerminateTransactions", "CreateIndex"),
            *("AdministrationCommand", "TransactionForeach", "TransactionApply", "RunQueryAt"),
            *("ForeachApply", "DynamicLabelNodeLookup", "SomethingNew", ""),
        ],
    )
    def test_other_operators_do_not(self, name: str) -> None:
        for plan in (_plan(name), _plan("ProduceResults", "Apply", name)):
            with pytest.raises(StoreError, match=name.partition("(")[0] or "without a name"):
                admit_plan("r", plan)

    @pytest.mark.parametrize("kind", ["w", "rw", "s", "", None])
    def test_other_kinds_of_statement_do_not(self, kind: str | None) -> None:
        with pytest.raises(StoreError, match="only read"):
            admit_plan(kind, _plan("ProduceResults", "NodeByLabelScan"))

    def test_no_plan_is_no_permission(self) -> None:
        for plan in (None, {}):
            with pytest.raises(StoreError, match="only read"):
                admit_plan("r", plan)

    def test_procedures_by_name(self) -> None:
        known = "db.index.vector.queryNodes($autostring_0, $k, $v) :: (node :: NODE)"
        admit_plan("r", _plan("ProduceResults", "ProcedureCall", details=known))
        for details in ("dbms.listConfig() :: (name :: STRING)", "", "db.labels.evil() :: (a)"):
            with pytest.raises(StoreError, match="procedure"):
                admit_plan("r", _plan("ProduceResults", "ProcedureCall", details=details))

    @pytest.mark.parametrize(
        "details",
        [
            '[x IN $autolist_0 | COLLECT { LOAD CSV FROM "http://h/x" AS line RETURN line }] AS x',
            "COLLECT {   load  csv FROM $p AS line }",
            "COUNT { ResolvedCall(dbms.listConfig() :: name :: STRING,ArraySeq()) RETURN name }",
            "COUNT {   CALL dbms.listConfig()     YIELD name   RETURN name }",
            "COUNT {   CALL `dbms`.`listConfig`()     YIELD name   RETURN name }",
        ],
    )
    def test_what_hides_in_an_expression_is_found(self, details: str) -> None:
        with pytest.raises(StoreError):
            admit_plan("r", _plan("ProduceResults", "Projection", details=details))

    def test_subqueries_in_an_expression_that_read(self) -> None:
        for details in (
            "EXISTS { MATCH (n)-[`anon_0`]->(`anon_1`) WHERE `anon_1`:Gene }",
            "COUNT { ResolvedCall(db.labels() :: label :: STRING,ArraySeq()) RETURN label }",
            "COUNT {   CALL db.labels()     YIELD label   RETURN label }",
        ):
            admit_plan("r", _plan("ProduceResults", "Filter", details=details))

    def test_a_deep_plan(self) -> None:
        admit_plan("r", _plan(*["Filter"] * 20_000, "Argument"))

    def test_no_writing_operator_is_on_the_list(self) -> None:
        wrong = ("Create", "Merge", "Set", "Delete", "Remove", "Load", "Show", "Terminate", "Drop")
        assert not [name for name in OPERATORS if name.startswith(wrong) or "Transaction" in name]
