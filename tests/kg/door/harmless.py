"""Reading statements that must get through the door, clause words as names among them."""

HARMLESS = [
    "RETURN 1 AS one",
    "RETURN 1 AS one;",
    "  // a comment first\nRETURN 1 AS one",
    "/* CREATE (n) */ RETURN 1 AS one // DELETE n",
    "RETURN 'CREATE (n)' AS text",
    'RETURN "MATCH (n) DETACH DELETE n; //" AS text',
    "RETURN 'it\\'s a SET' AS text",
    "RETURN '/* ' AS a, ' */' AS b",
    "RETURN '//' AS a",
    "RETURN 'é — ü\t\n' AS text",
    "MATCH (`create`:Cell) RETURN `create`.key AS `set` ORDER BY `set`",
    "MATCH (n:Cell) RETURN n.set AS a, n.create AS b, n . delete AS c",
    "MATCH (set:Cell) RETURN set.key AS key ORDER BY key",
    "MATCH (set:Cell)-[create:IN_STATE]->(merge:State) RETURN count(*) AS n",
    "RETURN {create: 1, set: 2, delete: {merge: 3}} AS map",
    "MATCH (n:Set) RETURN n.key AS key ORDER BY key",
    "MATCH (n:Cell|Set|Merge) RETURN count(n) AS n",
    "MATCH (:Cell)-[r:CREATE|SET]->() RETURN count(r) AS n",
    "MATCH (n:Cell) RETURN n {.key, .set, .create} AS m ORDER BY n.key",
    "RETURN 1 AS create, 2 AS set, 3 AS load",
    "WITH 1 AS set RETURN set",
    "WITH 1 AS create, 2 AS load RETURN create + load AS n",
    "MATCH (n:Cell) WITH n.key AS merge ORDER BY merge RETURN merge",
    "MATCH (n:Cell) WITH n.key AS use MATCH (m:Cell {key: use}) RETURN count(m) AS n",
    "UNWIND [1, 2] AS load RETURN load",
    "RETURN [set IN [1, 2] | set + 1] AS a",
    "RETURN reduce(set = 0, create IN [1, 2] | set + create) AS a",
    "RETURN $set AS a",
    "RETURN $`create` AS a",
    "MATCH (start:State)-[:CONNECTED_TO]-(stop:State) RETURN count(*) AS n",
    "MATCH (s:State) WHERE s.name = 'S1' OR s.name STARTS WITH 'S' RETURN count(s) AS n",
    (
        "MATCH (s:State) WHERE s.name CONTAINS 'SET' AND NOT s.name ENDS WITH 'DROP' "
        "RETURN count(s) AS n"
    ),
    "MATCH (a:Gene)-[:CO_REGULATED_WITH*1..3]-(b:Gene) RETURN count(*) AS n",
    (
        "MATCH p = shortestPath((a:Gene {symbol: 'CD79A'})-[:CO_REGULATED_WITH*..5]-(b:Gene "
        "{symbol: 'LYZ'})) RETURN length(p) AS n"
    ),
    "MATCH (c:Cell) WHERE EXISTS { (c)-[:IN_STATE]->(:State {name: 'S1'}) } RETURN count(c) AS n",
    "MATCH (c:Cell) RETURN c.key AS key, COUNT { (c)-->(:Gene) } AS n ORDER BY key",
    (
        "MATCH (s:State) CALL (s) { MATCH (s)-[:MARKED_BY]->(g:Gene) RETURN count(g) AS n } "
        "RETURN s.key AS key, n ORDER BY key"
    ),
    "CALL { MATCH (s:State) RETURN count(s) AS n } RETURN n",
    "CALL db.labels() YIELD label RETURN label ORDER BY label",
    "CALL db.relationshipTypes() YIELD relationshipType AS type RETURN type ORDER BY type",
    "RETURN point.distance(point({x: 0, y: 0}), point({x: 3, y: 4})) AS d",
    "RETURN vector.similarity.cosine([1.0, 0.0], [1.0, 0.0]) AS s",
    "RETURN duration.between(date('2020-01-01'), date('2020-01-03')).days AS d",
    "RETURN 1 AS a UNION ALL RETURN 2 AS a",
    (
        "MATCH (s:State) "
        "RETURN CASE WHEN s.level = 1 THEN 'SET' ELSE 'DROP' END AS a, count(*) AS n ORDER BY a"
    ),
    (
        "MATCH (c:Cell) "
        "RETURN percentileCont(c.x, 0.5) AS m, stDev(c.y) AS s, avg(c.library_size) AS l"
    ),
    "RETURN 0x1F AS a, 1e3 AS b, 1.5e-3 AS c, .5 AS d, 0o17 AS e",
    "UNWIND range(0, 3) AS i WITH i ORDER BY i DESC SKIP 1 LIMIT 2 RETURN i",
    "WITH {in: 1, transactions: 2} AS m RETURN m.in AS a, m.transactions AS b",
    "WITH [1, 2] AS transactions RETURN 1 IN transactions AS a",
    "MATCH (n:Cell) RETURN n.call AS call, n.load AS load, n.show AS show ORDER BY n.key",
    "OPTIONAL MATCH (n:Nothing) RETURN n.key AS key",
]
