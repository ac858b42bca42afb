"""Cell2Sentence: a cell as the names of its genes in descending expression."""
