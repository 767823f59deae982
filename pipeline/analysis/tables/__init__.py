"""Tables of a study, each declared beside the function that makes it."""

# Tables in the order of the report; others follow by module.
ORDER = (
    "cells points comparison contrasts latents parameters calibration sources comparison_by_source "
    "effects main_effects dial dial_curves probing absorption consistency poles starts ranking "
    "ranking_summary dominance sides sign_rates visible scaling predictions"
)
