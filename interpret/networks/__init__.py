"""Networks of genes: measures of association, regulons, and how far the two agree."""
