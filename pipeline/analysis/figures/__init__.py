"""Figures of a study, each declared at the function that draws it from tables."""

# Figures in the order of the report; others follow by module.
ORDER = (
    "figure_spec_gap figure_spec_dead figure_spec_reduction figure_sign_rates "
    "figure_widths figure_frontiers figure_r2 "
    "figure_2 figure_3 figure_depth figure_11 figure_dial figure_dial_kl "
    "figure_probing figure_absorption figure_curves figure_1"
)
