// name: find_gene_sets
// question: Which gene sets have these words in their name or description?
// param text: string — words, or beginnings of words; case and punctuation do not matter
// param limit: integer = 10 — most rows
// param library: string = "" — library of the sets; empty for all
// column gene_set: string — name of the set
// column library: string — library of the set
// column matched: integer — words of the text that are in it
// column n_words: integer — words of the text
// column in_name: integer — of those matched, words in its name
// column size: integer — genes in the set
// column source: string — description or address given in the file
// Plain functions on text, no index: names such as HALLMARK_TNFA_SIGNALING are one word to an
// index, every engine scores in its own way, and what the user types can be no query syntax here.
WITH ['_', '-', '/', '(', ')', ',', '.', ':', ';', '"', '\t', '\n', '\r'] AS marks
WITH marks, reduce(text = toLower($text), mark IN marks | replace(text, mark, ' ')) AS asked
WITH marks, [word IN split(asked, ' ') WHERE word <> '' | ' ' + word] AS words
MATCH (s:GeneSet) WHERE size(words) > 0 AND ($library = '' OR s.library = $library)
WITH s, words,
  ' ' + reduce(text = toLower(s.name), mark IN marks | replace(text, mark, ' ')) AS name,
  ' ' + reduce(text = toLower(s.source), mark IN marks | replace(text, mark, ' ')) AS source
WITH s, size(words) AS n_words, size([word IN words WHERE name CONTAINS word]) AS in_name,
  size([word IN words WHERE name CONTAINS word OR source CONTAINS word]) AS matched
WHERE matched > 0
WITH s, n_words, in_name, matched ORDER BY matched DESC, in_name DESC, s.size, s.key
LIMIT $limit
RETURN s.name AS gene_set, s.library AS library, matched, n_words, in_name, s.size AS size,
  s.source AS source
