"""Populations in other formats: published files, sweeps, tables and studies of other tools, in and out."""
