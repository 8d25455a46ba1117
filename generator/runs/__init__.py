"""Runs: populations that are planned, trained by processes here or on a cluster, packed, and audited."""
