"""The stages of the workflow, one file each: what a rule's command does between its input and its output files."""
