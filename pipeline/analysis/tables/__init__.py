"""Tables of a study, made from the metrics of its cells."""
