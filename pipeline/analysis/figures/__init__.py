"""Figures of a study, each declared at the function that draws it from tables."""

# Modules in the order of the report; others follow by name.
ORDER = "specification sign_rates sweep looks curves synthetic"
