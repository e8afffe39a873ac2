"""Cross-validated image-classification ensembles: split, train, predict, blend, submit."""
