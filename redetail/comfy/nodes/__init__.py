"""All nodes, by topic."""
