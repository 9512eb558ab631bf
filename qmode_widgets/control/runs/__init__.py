"""What a run leaves: results, provenance, report, archive, figures."""
