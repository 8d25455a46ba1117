"""Results for people: text, plots, figures, and reports."""
