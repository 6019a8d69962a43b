"""From records to what a reader opens: tables, the page and the heat map of a board."""
