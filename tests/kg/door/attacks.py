"""Statements that must not get through the door, each with a name."""

from dataclasses import dataclass
from typing import Literal

Lock = Literal["words", "work"]


@dataclass(frozen=True)
class Attack:
    """A statement, the lock that stops it first, and whether it only reads what is not the graph.

    ``words`` is the guard, ``work`` the estimate on an atlas. Of an ``outside`` one no harm shows
    in the graph, so that the engine itself has to refuse it.
    """

    name: str
    text: str
    lock: Lock = "words"
    outside: bool = False


_WRITES = {
    "create": "CREATE (n:Cell {key: 'x'})",
    "create, small letters": "create (n:Cell {key: 'x'}) return n",
    "create, mixed letters": "cReAtE (n:Cell {key: 'x'})",
    "merge": "MERGE (n:Cell {key: 'x'}) RETURN n.key AS k",
    "merge a relationship": "MATCH (a:Cell), (b:Gene) MERGE (a)-[:EXPRESSES]->(b)",
    "set": "MATCH (n:Cell) SET n.x = 0.0",
    "set all properties": "MATCH (n:Cell) SET n = {} RETURN count(*) AS n",
    "add properties": "MATCH (n:Cell) SET n += {evil: 1} RETURN count(*) AS n",
    "set a label": "MATCH (n:Cell) SET n:Evil RETURN count(*) AS n",
    "remove a property": "MATCH (n:Cell) REMOVE n.x",
    "remove a label": "MATCH (n:Cell) REMOVE n:Cell",
    "delete": "MATCH ()-[r]->() DELETE r",
    "detach delete": "MATCH (n) DETACH DELETE n",
    "nodetach delete": "MATCH ()-[r]->() NODETACH DELETE r",
    "insert": "INSERT (n:Cell {key: 'x'})",
    "foreach": "MATCH (n:Cell) FOREACH (x IN [1] | SET n.x = x)",
    "foreach that creates": "FOREACH (x IN range(1, 9) | CREATE (:Cell {key: toString(x)}))",
    "merge on create": "MERGE (n:Cell {key: 'x'}) ON CREATE SET n.x = 1 ON MATCH SET n.x = 2",
    "write behind a read": "MATCH (n:Cell) WITH n LIMIT 1 DETACH DELETE n",
    "write behind RETURN *": "MATCH (n:Cell) WITH * CREATE (m:Cell)",
    "write behind a number": "WITH 1 AS a LIMIT 1 CREATE (n:Cell)",
    "write glued to a bracket": "MATCH (n:Cell)CREATE(m:Cell)",
    "write glued to a number": "MATCH (n:Cell) WITH n SKIP 0SET n.x = 1",
    "write after a variable named like a keyword": "MATCH (with:Cell) WITH with SET with.x = 1",
    "write after a variable named as": "MATCH (as:Cell) WITH as SET as.x = 1",
    "write after an alias named as": "MATCH (n:Cell) WITH n AS as SET as.x = 1",
    "write to a variable named order": "MATCH (order:Cell) WITH order SET order.x = 1",
    "write to a variable named where": "MATCH (where:Cell) WITH where AS as SET as.x = 1",
    "write to a variable in backticks": "MATCH (`a b`:Cell) SET `a b`.x = 1",
    "write in a subquery": "CALL { MATCH (n:Cell) DETACH DELETE n } RETURN 1 AS one",
    "write in a scoped subquery": "MATCH (n:Cell) CALL (n) { SET n.x = 1 } RETURN count(*) AS c",
    "write in a nested subquery": "CALL { CALL { CREATE (n:Cell) } RETURN 1 AS a } RETURN a",
    "write in EXISTS": "MATCH (n) WHERE EXISTS { CREATE (m:Cell) } RETURN n.key AS k",
    "write in COLLECT": "RETURN COLLECT { CREATE (m:Cell) RETURN 1 AS a } AS a",
    "write in COUNT": "RETURN COUNT { CREATE (m:Cell) RETURN 1 AS a } AS a",
    "write in a list comprehension": (
        "RETURN [x IN [1] | COLLECT { CREATE (m) RETURN 1 AS a }] AS a"
    ),
    "subquery in transactions": "CALL { CREATE (n:Cell) } IN TRANSACTIONS",
    "reading subquery in transactions": (
        "MATCH (n) CALL (n) { RETURN n.x AS x } IN TRANSACTIONS OF 10 ROWS RETURN x"
    ),
    "concurrent transactions": (
        "UNWIND [1] AS i CALL (i) { CREATE (:Cell) } IN 4 CONCURRENT TRANSACTIONS OF 1 ROW"
    ),
    "union with a write": "RETURN 1 AS a UNION CREATE (n:Cell) RETURN 1 AS a",
    "dynamic label": "CREATE (n:$('Evil'))",
    "dynamic label, set": "MATCH (n:Cell) SET n:$('Evil') RETURN count(*) AS n",
    "dynamic property": "MATCH (n:Cell) SET n['x'] = 1 RETURN count(*) AS n",
    "constraint": "CREATE CONSTRAINT evil IF NOT EXISTS FOR (n:Evil) REQUIRE n.key IS UNIQUE",
    "drop constraint": "DROP CONSTRAINT evil IF EXISTS",
    "index": "CREATE INDEX evil IF NOT EXISTS FOR (n:Cell) ON (n.x)",
    "drop index": "DROP INDEX evil IF EXISTS",
    "user": "CREATE USER eve SET PASSWORD 'secret-secret' CHANGE NOT REQUIRED",
    "drop user": "DROP USER neo4j IF EXISTS",
    "password": "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'secret-secret'",
    "alter user": "ALTER USER neo4j SET PASSWORD 'secret-secret'",
    "alias": "CREATE ALIAS evil FOR DATABASE neo4j",
    "database": "CREATE DATABASE evil",
    "drop database": "DROP DATABASE neo4j DUMP DATA",
    "stop database": "STOP DATABASE neo4j",
    "grant": "GRANT ROLE admin TO neo4j",
    "revoke": "REVOKE ROLE admin FROM neo4j",
    "deny": "DENY ACCESS ON DATABASE neo4j TO PUBLIC",
    "rename": "RENAME USER neo4j TO eve",
    "label by a procedure": "CALL db.createLabel('Evil')",
    "property by a procedure": "CALL db.createProperty('evil')",
    "write by a procedure": (
        "MATCH (n:Cell) CALL db.create.setNodeVectorProperty(n, 'evil', [1.0]) RETURN count(*) AS n"
    ),
    "merge.node": "CALL merge.node(['Evil'], {key: 'x'}) YIELD node RETURN node.key AS k",
    "do.when": "CALL do.when(true, 'CREATE (n:Evil)', '', {}) YIELD value RETURN value",
    "apoc write": "CALL apoc.create.node(['Evil'], {key: 'x'}) YIELD node RETURN node.key AS k",
    "apoc that runs a text": (
        "CALL apoc.cypher.doIt('CREATE (n:Evil)', {}) YIELD value RETURN value"
    ),
    "apoc in backticks": (
        "CALL `apoc`.`cypher`.`doIt`('CREATE (n:Evil)', {}) YIELD value RETURN value"
    ),
    "apoc over lines": "CALL apoc . /* x */ cypher .\n doIt('CREATE (n:Evil)', {})",
    "apoc function": "RETURN apoc.util.md5(['x']) AS a",
    "refactoring": (
        "MATCH (a:Cell) WITH collect(a) AS s CALL refactor.mergeNodes(s) YIELD node RETURN 1 AS a"
    ),
    "migration": "CALL db.migrateLegacyTemporals() YIELD value RETURN value",
    "comment that hides a write": "MATCH (n) /* only reading */ DETACH /**/ DELETE n // RETURN n",
    "write behind a line comment": "MATCH (n:Cell) // harmless\nSET n.x = 1",
    "write behind a carriage return": "MATCH (n:Cell) // harmless\rSET n.x = 1",
    "nested comments": "MATCH (n) /* /* */ DETACH DELETE n /* */",
    "comment in a string": "MATCH (n) WHERE n.key <> '/*' DETACH DELETE n RETURN '*/' AS a",
    "quote in a comment": "MATCH (n) /* ' */ DETACH DELETE n /* ' */",
    "quote in backticks": "MATCH (`'`) DETACH DELETE `'` RETURN '' AS a",
    "backticks in a string": "MATCH (n) WHERE n.key <> '`' DETACH DELETE n RETURN '`' AS a",
    "escaped quote": "MATCH (n) WHERE n.key <> '\\'' DETACH DELETE n RETURN '' AS a",
    "escaped backslash": "MATCH (n) WHERE n.key <> '\\\\' DETACH DELETE n RETURN '' AS a",
    "doubled backtick": "MATCH (`a``b`) DETACH DELETE `a``b` RETURN 1 AS `x`",
    "unicode escape of a clause": "\\u0043REATE (n:Cell {key: 'x'})",
    "unicode escape inside of a clause": "MATCH (n) D\\u0045TACH DELETE n",
    "unicode escape that ends a string": "MATCH (n) WHERE n.key <> '\\u0027 DETACH DELETE n //'",
    "unicode escape that ends backticks": "MATCH (`n\\u0060) DETACH DELETE n //`) RETURN 1 AS a",
    "unicode escape in a comment": "MATCH (n) // \\u000A DETACH DELETE n",
    "long s": "MATCH (n:Cell) \u017fET n.x = 1",
    "full-width letters": "\uff23\uff32\uff25\uff21\uff34\uff25 (n:Cell)",
    "Cyrillic letters": "\u0421REATE (n:Cell)",
    "zero-width space": "CRE\u200bATE (n:Cell)",
    "zero-width joiner": "MATCH (n) DETACH DEL\u200dETE n",
    "no-break space": "MATCH (n:Cell)\u00a0SET n.x = 1",
    "line separator": "MATCH (n:Cell) // \u2028 SET n.x = 1",
    "direction override": "MATCH (n:Cell) \u202eSET n.x = 1",
    "null byte": "RETURN 1 AS a \x00 CREATE (n:Cell)",
    "null byte in a string": "MATCH (n) WHERE n.key <> '\x00' DETACH DELETE n",
    "several statements": "RETURN 1 AS a; MATCH (n) DETACH DELETE n",
    "several reading statements": "RETURN 1 AS a; RETURN 2 AS a",
    "statement behind a comment": "RETURN 1 AS a /* ; */ ; MATCH (n) DETACH DELETE n;",
    "explain and write": "EXPLAIN CREATE (n:Cell)",
    "profile and write": "PROFILE CREATE (n:Cell)",
    "version and write": "CYPHER 5 CREATE (n:Cell)",
    "options and write": "CYPHER runtime=slotted MATCH (n) DETACH DELETE n",
    "periodic commit": "USING PERIODIC COMMIT LOAD CSV FROM 'file:///x' AS l CREATE (:Cell)",
    "begin": "BEGIN CREATE (n:Cell) COMMIT",
    "graph type": "ALTER CURRENT GRAPH TYPE SET { (n:Evil) }",
}

_OUTSIDE = {
    "csv of a file": "LOAD CSV FROM 'file:///etc/hostname' AS line RETURN line",
    "csv with headers": "LOAD CSV WITH HEADERS FROM 'file:///etc/passwd' AS line RETURN line",
    "csv of the cloud's metadata": "LOAD CSV FROM 'http://169.254.169.254/' AS line RETURN line",
    "csv of a host": "MATCH (n:Cell) LOAD CSV FROM 'http://127.0.0.1:1/' + n.key AS l RETURN l",
    "csv in a subquery": "CALL { LOAD CSV FROM 'http://127.0.0.1:1/x' AS l RETURN l } RETURN l",
    "csv in an expression": (
        "RETURN [x IN [1] | COLLECT { LOAD CSV FROM 'http://127.0.0.1:1/x' AS l RETURN l }] AS l"
    ),
    "csv that is a parameter": "WITH 'http://127.0.0.1:1/x' AS u LOAD CSV FROM u AS l RETURN l",
    "apoc load": "CALL apoc.load.json('http://127.0.0.1:1/x') YIELD value RETURN value",
    "Java": "RETURN java.lang.System.getProperty('user.home') AS a",
    "other graph": "USE graph.byName('system') MATCH (n) RETURN count(n) AS n",
    "kill connections": "CALL dbms.killConnections(['bolt-1'])",
    "list connections": "CALL dbms.listConnections() YIELD connectionId RETURN connectionId",
    "list connections in an expression": (
        "RETURN [x IN [1] | COLLECT { CALL dbms.listConnections() YIELD username "
        "RETURN username }] AS a"
    ),
    "settings": "CALL dbms.listConfig() YIELD name, value RETURN name, value",
    "beans": "CALL dbms.queryJmx('*:*') YIELD name RETURN name",
    "clear caches": "CALL db.clearQueryCaches()",
    "metadata of the transaction": "CALL tx.setMetaData({evil: 1})",
}

_SERVER = {
    "show settings": "SHOW SETTINGS YIELD name, value RETURN name, value",
    "show transactions": "SHOW TRANSACTIONS",
    "show users": "SHOW USERS",
    "show procedures": "SHOW PROCEDURES",
    "show databases": "SHOW DATABASES",
    "terminate": "TERMINATE TRANSACTIONS 'neo4j-transaction-1'",
    "show and terminate": (
        "SHOW TRANSACTIONS YIELD transactionId AS t TERMINATE TRANSACTIONS t YIELD message "
        "RETURN message"
    ),
}

_LOADS = {
    "deep brackets": f"RETURN {'(' * 5000}1{')' * 5000} AS a",
    "deep lists": f"RETURN {'[' * 5000}{']' * 5000} AS a",
    "open brackets": f"RETURN {'(' * 50_000}",
    "deep subqueries": f"{'CALL { ' * 200}RETURN 1 AS a{' } RETURN a' * 200}",
    "long text": f"RETURN '{'x' * 200_000}' AS a",
    "long comment": f"/*{'*' * 200_000}*/ RETURN 1 AS a",
    "long sum": f"RETURN {'1 + ' * 20_000}1 AS a",
    "long negation": f"RETURN {'NOT ' * 20_000}true AS a",
    "exclusive ors": f"RETURN {'true XOR ' * 40}true AS a",
    "long pattern": f"MATCH (a){'--()' * 100} RETURN count(*) AS n",
}

_RUNAWAYS = {
    "six cells": (
        "MATCH (a:Cell), (b:Cell), (c:Cell), (d:Cell), (e:Cell), (f:Cell) RETURN count(*) AS n"
    ),
    "six cells by clauses": f"{'MATCH (:Cell) ' * 6}RETURN count(*) AS n",
    "pairs of cells": "MATCH (a:Cell), (b:Cell) WHERE a.x < b.x RETURN count(*) AS n",
    "path without an end": "MATCH (a:Gene)-[:CO_REGULATED_WITH*]-(b:Gene) RETURN count(*) AS n",
    "path from one gene": (
        "MATCH (a:Gene {symbol: 'CD79A'})-[:CO_REGULATED_WITH*]-(b) RETURN count(*) AS n"
    ),
    "path of any type": "MATCH p = (a)-[*]-(b) RETURN max(length(p)) AS n",
    "path as a quantifier": "MATCH (a:Gene)-[:CO_REGULATED_WITH]-+(b:Gene) RETURN count(*) AS n",
    "path as a group": "MATCH ((a:Gene)-[:CO_REGULATED_WITH]-(b:Gene)){1,12} RETURN count(*) AS n",
    "two hops through hubs": (
        "MATCH (a:Cell)-[:EXPRESSES]->(g:Gene)<-[:EXPRESSES]-(b:Cell) RETURN count(*) AS n"
    ),
    "two hops in an expression": (
        "MATCH (a:Cell) RETURN size([(a)-[:EXPRESSES]->()<-[:EXPRESSES]-(b) | b.key]) AS n"
    ),
    "two hops in EXISTS": (
        "MATCH (a:Cell) WHERE EXISTS { (a)-[:EXPRESSES]->()<-[:EXPRESSES]-({key: 'x'}) } "
        "RETURN count(*) AS n"
    ),
    "two hops in a subquery": (
        "MATCH (a:Cell) CALL (a) { MATCH (a)-[:EXPRESSES]->()<-[:EXPRESSES]-(b) "
        "RETURN count(b) AS n } RETURN sum(n) AS n"
    ),
    "all shortest paths": (
        "MATCH p = shortestPath((a:Gene)-[:CO_REGULATED_WITH*]-(b:Gene)) RETURN count(p) AS n"
    ),
    "ranges": "UNWIND range(1, 1000000) AS i UNWIND range(1, 1000000) AS j RETURN count(*) AS n",
    "range of a power": "UNWIND range(1, 10^12) AS i RETURN count(*) AS n",
    "nested lists": (
        "RETURN size([i IN range(1, 100000) WHERE any(j IN range(1, 100000) WHERE j > i)]) AS n"
    ),
    "collected cells": (
        "MATCH (c:Cell) WITH collect(c) AS s UNWIND s AS a UNWIND s AS b UNWIND s AS d "
        "RETURN count(*) AS n"
    ),
    "key that picks nothing": (
        "MATCH (a:Cell)-[:EXPRESSES]->(g:Gene)<-[:EXPRESSES]-(b:Cell) "
        "WHERE CASE WHEN false AND a.key = 'x' AND true THEN false ELSE true END "
        "RETURN count(*) AS n"
    ),
    "key or anything": (
        "MATCH (a:Cell)-[:EXPRESSES]->()<-[:EXPRESSES]-(b) WHERE a.key = 'x' OR true "
        "RETURN count(*) AS n"
    ),
    "not that key": (
        "MATCH (a:Cell)-[:EXPRESSES]->()<-[:EXPRESSES]-(b) WHERE NOT a.key = 'x' "
        "RETURN count(*) AS n"
    ),
    "not in these keys": (
        "MATCH (a:Cell)-[:EXPRESSES]->()<-[:EXPRESSES]-(b) WHERE a.key IN ['x'] = false "
        "RETURN count(*) AS n"
    ),
}

ATTACKS = [
    *(Attack(name, text) for name, text in _WRITES.items()),
    *(Attack(name, text, outside=True) for name, text in (_OUTSIDE | _SERVER).items()),
    *(Attack(name, text) for name, text in _LOADS.items()),
    *(Attack(name, text, "work") for name, text in _RUNAWAYS.items()),
]
SERVER_ONLY = frozenset(_SERVER)
LOADS = frozenset(_LOADS)

INJECTIONS = [
    'S1"}) DETACH DELETE n //',
    "S1'}) DETACH DELETE n //",
    "S1' OR true //",
    "`) DETACH DELETE n //",
    "x'}) RETURN 1 AS a; MATCH (n) DETACH DELETE n; //",
    "\\u0027 DETACH DELETE n //",
    "\\' DETACH DELETE n //",
    "$state",
    "x\x00y",
    "*",
    "x" * 100_000,
]
"""Values of parameters that carry Cypher."""
