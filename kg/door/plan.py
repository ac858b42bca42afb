"""The plan lock for Neo4j: what the server says it would do must be on a list of reading operators.

``EXPLAIN`` compiles a statement and runs nothing. Its plan shows what the words of a text may hide
from a guard, and what the read channel of Neo4j lets through: ``LOAD CSV``, ``SHOW``,
``TERMINATE TRANSACTIONS``, and built-in procedures that administer the server.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from ...encoders.errors import StoreError
from .words import PROCEDURES

_SIDES = ("Node", "DirectedRelationship", "UndirectedRelationship")

OPERATORS = frozenset(
    {
        # where rows come from
        *("AllNodesScan", "Argument", "NodeByLabelScan", "NodeByIdSeek", "NodeByElementIdSeek"),
        *("IntersectionNodeByLabelsScan", "SubtractionNodeByLabelsScan", "UnionNodeByLabelsScan"),
        *("NodeCountFromCountStore", "RelationshipCountFromCountStore", "MultiNodeIndexSeek"),
        *("DirectedAllRelationshipsScan", "UndirectedAllRelationshipsScan"),
        *(
            f"{side}{kind}"
            for side in ("DirectedRelationship", "UndirectedRelationship")
            for kind in ("ByIdSeek", "ByElementIdSeek", "TypeScan")
        ),
        *("DirectedUnionRelationshipTypesScan", "UndirectedUnionRelationshipTypesScan"),
        *(
            f"{side}{kind}"
            for side in _SIDES
            for kind in (
                *("IndexScan", "IndexSeek", "IndexSeekByRange", "IndexContainsScan"),
                *("IndexEndsWithScan", "UniqueIndexSeek", "UniqueIndexSeekByRange"),
                *("VectorIndexSearch", "FulltextIndexSearch"),
            )
        ),
        # where they go
        *("Expand", "OptionalExpand", "VarLengthExpand", "ShortestPath", "StatefulShortestPath"),
        *("Repeat", "BidirectionalRepeat", "ProjectEndpoints", "PathPropagatingBFS"),
        *("TriadicSelection", "TriadicBuild", "TriadicFilter"),
        # how they meet
        *("Apply", "SemiApply", "AntiSemiApply", "LetSemiApply", "LetAntiSemiApply"),
        *("SelectOrSemiApply", "SelectOrAntiSemiApply", "LetSelectOrSemiApply"),
        *("LetSelectOrAntiSemiApply", "ConditionalApply", "AntiConditionalApply", "RollUpApply"),
        *("CartesianProduct", "NodeHashJoin", "NodeLeftOuterHashJoin", "NodeRightOuterHashJoin"),
        *("LeftOuterHashJoin", "RightOuterHashJoin", "ValueHashJoin", "ValueMergeJoin"),
        *("AssertSameNode", "AssertSameRelationship", "Optional", "Union", "OrderedUnion"),
        # what becomes of them
        *("Filter", "Projection", "CacheProperties", "Unwind", "Eager", "EmptyRow", "EmptyResult"),
        *("Aggregation", "EagerAggregation", "OrderedAggregation", "Distinct", "OrderedDistinct"),
        *("Sort", "PartialSort", "Top", "PartialTop", "Top1WithTies", "Skip", "Limit"),
        *("ExhaustiveLimit", "ProduceResults", "NullifyMetadata", "PreserveOrder"),
    }
)
"""Operators that read, of Neo4j 5.26 and 2026.08, without what stands in brackets."""

_MODE = re.compile(r"\(.*\)$")
# A subquery inside of an expression is compiled too, but shown as text among the details only.
_NESTED = re.compile(r"\bLOAD\s+CSV\b|\b(?:CALL\s+|ResolvedCall\()([\w.`]+)", re.IGNORECASE)


def admit_plan(query_type: str | None, plan: Mapping[str, Any] | None) -> None:
    """Refuse a statement whose plan does anything but read the graph.

    Parameters
    ----------
    query_type
        ``query_type`` of the summary of ``EXPLAIN <statement>``; ``r`` for one that reads.
    plan
        ``plan`` of the summary: a tree of ``operatorType``, ``args`` and ``children``.

    Raises
    ------
    StoreError
        The statement writes, the server gave no plan, or the plan has an operator that is not in
        :data:`OPERATORS` or calls a procedure that is not in
        :data:`scypher.kg.door.words.PROCEDURES`.
    """
    if query_type != "r" or not plan:
        message = (
            "A query may only read the graph, and the server plans this one as "
            f"{query_type or 'nothing'} and not as r. Ask with MATCH … RETURN."
        )
        raise StoreError(message)
    for operator in _operators(plan):
        name = _MODE.sub("", str(operator.get("operatorType", "")).partition("@")[0])
        details = str((operator.get("args") or {}).get("Details", ""))
        if name == "ProcedureCall":
            _check_procedure(details.partition("(")[0].strip())
        elif name not in OPERATORS:
            _refuse_operator(name)
        for nested in _NESTED.finditer(details):
            if nested[1] is None:
                _refuse_operator("LoadCSV")
            _check_procedure(nested[1].replace("`", ""))


def _operators(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [plan]
    while waiting:
        operator = waiting.pop()
        yield operator
        waiting += operator.get("children") or ()


def _check_procedure(name: str) -> None:
    if name not in PROCEDURES:
        message = (
            f"The server would call the procedure {name or 'without a name'} for this query; only "
            f"{', '.join(sorted(PROCEDURES))} may be called. Ask in plain Cypher."
        )
        raise StoreError(message)


def _refuse_operator(name: str) -> NoReturn:
    message = (
        f"The server would run {name or 'an operator without a name'} for this query, which is "
        "not an operator that only reads the graph. Ask with MATCH … RETURN."
    )
    raise StoreError(message)
