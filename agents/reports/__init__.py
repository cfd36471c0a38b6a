"""Run folders and CSVs to curves, statistics, tables, figures and pages; no torch, no environments."""
