"""Tables of verdicts, each declared beside the function that makes it."""

# Modules in the order of the report; others follow by name.
ORDER = "matrix verdicts"
