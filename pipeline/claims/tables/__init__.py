"""Tables of verdicts, each declared beside the function that makes it."""

# Tables in the order of the report.
ORDER = "claims_matrix claims"
