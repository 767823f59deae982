"""From measures to tables, figures, claims and the report. Nothing here knows of stores."""
