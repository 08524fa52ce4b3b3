"""Two servers, or two sets of results, against each other: is one of them worse, and how surely."""
