"""Gene sets: libraries, enrichment of lists and rankings, activity in cells, redundancy."""
