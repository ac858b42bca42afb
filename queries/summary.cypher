// name: summary
// question: How much of what is in the graph?
// column kind: string — node or edge
// column name: string — label, or type with the labels at both ends
// column n: integer — number
MATCH (a) WHERE a.key IS NOT NULL
WITH labels(a)[0] AS name, count(*) AS n
RETURN 'node' AS kind, name, n
ORDER BY name
UNION ALL
MATCH (a)-[r]->(b)
WITH labels(a)[0] + '-' + type(r) + '-' + labels(b)[0] AS name, count(*) AS n
RETURN 'edge' AS kind, name, n
ORDER BY name
