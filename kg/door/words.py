"""What a guest's Cypher may name: clauses, procedures and functions, from the manual of Neo4j 5.26.

Lists of what is allowed, wherever that is possible: a name that a newer engine brings is refused
until somebody has looked at it.
"""

FIRST = frozenset({"MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CALL"})
"""Words that a reading statement begins with."""

WRITING = frozenset(
    {
        *("CREATE", "MERGE", "SET", "REMOVE", "DELETE", "DETACH", "NODETACH", "INSERT", "FOREACH"),
        *("LOAD", "USE", "SHOW", "TERMINATE", "ALTER", "DROP"),
    }
)
"""Clauses that write, administer, or leave the graph, wherever in a statement they stand."""

STARTING = WRITING | frozenset(
    {
        *("GRANT", "DENY", "REVOKE", "RENAME", "START", "STOP", "ENABLE", "DISABLE"),
        *("DEALLOCATE", "REALLOCATE", "DRYRUN", "EXPLAIN", "PROFILE", "CYPHER", "USING"),
        *("BEGIN", "COMMIT", "ROLLBACK"),
    }
)
"""Words that a statement which is not a plain reading one begins with."""

BEFORE_EXPRESSION = frozenset(
    {
        *("WITH", "RETURN", "DISTINCT", "WHERE", "BY", "AND", "OR", "XOR", "NOT", "IN"),
        *("CONTAINS", "UNWIND", "SKIP", "OFFSET", "LIMIT", "CASE", "WHEN", "THEN", "ELSE"),
        *("ON", "YIELD", "AS", "IS", "TYPED", "CALL", "MATCH", "LET", "FILTER", "SCAN", "INDEX"),
        *("SEEK", "USING", "UNION", "ALL", "ANY", "OPTIONAL", "MANDATORY", "CSV", "FROM"),
    }
)
"""Keywords after which an expression, a pattern or a name must follow."""

AFTER_ALIAS = frozenset(
    {
        *("MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CALL", "WHERE", "ORDER", "SKIP"),
        *("OFFSET", "LIMIT", "UNION"),
    }
)
"""Keywords that may follow the name after AS."""

BEFORE_BRACKET = BEFORE_EXPRESSION | frozenset(
    {
        *("STARTS", "ENDS", "SHORTEST", "PATH", "PATHS", "GROUP", "GROUPS", "ASC", "DESC"),
        *("WALK", "TRAIL", "ACYCLIC", "ELEMENTS", "RELATIONSHIPS", "JOIN"),
    }
)
"""Keywords that an opening bracket may follow without being a call."""

PROCEDURES = frozenset(
    {
        *("db.labels", "db.relationshipTypes", "db.propertyKeys", "db.schema.visualization"),
        *("db.index.vector.queryNodes", "db.index.fulltext.queryNodes"),
    }
)
"""Procedures that only read the graph or its schema, and that both engines have."""

NAMESPACED = frozenset(
    {
        *("date.truncate", "datetime.truncate", "localdatetime.truncate", "localtime.truncate"),
        *("time.truncate", "datetime.fromepoch", "datetime.fromepochmillis"),
        *("duration.between", "duration.indays", "duration.inmonths", "duration.inseconds"),
        *("point.distance", "point.withinbbox"),
        *("vector.similarity.cosine", "vector.similarity.euclidean"),
    }
)
"""Functions with a namespace, in small letters: none reaches outside of the statement."""

FUNCTIONS = frozenset(
    {
        *("all", "any", "exists", "isempty", "none", "single"),
        *("char_length", "character_length", "coalesce", "elementid", "endnode", "head", "id"),
        *("last", "length", "nullif", "properties", "randomuuid", "size", "startnode"),
        *("timestamp", "toboolean", "tobooleanornull", "tofloat", "tofloatornull", "tointeger"),
        *("tointegerornull", "type", "valuetype", "tostring", "tostringornull"),
        *("avg", "collect", "count", "max", "min", "percentilecont", "percentiledisc", "stdev"),
        *("stdevp", "sum", "keys", "labels", "nodes", "range", "reduce", "relationships"),
        *("reverse", "tail", "tobooleanlist", "tofloatlist", "tointegerlist", "tostringlist"),
        *("abs", "ceil", "floor", "isnan", "rand", "round", "sign", "e", "exp", "log", "log10"),
        *("sqrt", "acos", "asin", "atan", "atan2", "cos", "cosh", "cot", "coth", "degrees"),
        *("haversin", "pi", "radians", "sin", "sinh", "tan", "tanh"),
        *("btrim", "left", "lower", "ltrim", "normalize", "replace", "right", "rtrim", "split"),
        *("substring", "tolower", "toupper", "trim", "upper"),
        *("date", "datetime", "localdatetime", "localtime", "time", "duration", "point"),
        *("shortestpath", "allshortestpaths"),
    }
)
"""Functions without a namespace, in small letters."""

AGGREGATES = frozenset(
    {
        *("avg", "collect", "count", "max", "min", "percentilecont", "percentiledisc", "stdev"),
        *("stdevp", "sum"),
    }
)
"""Functions that make one row of many."""
