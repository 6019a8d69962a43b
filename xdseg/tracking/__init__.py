"""MLflow as a view of the records: one writer, no number of its own.

`records` reads what is to be shown, `wanted` says it as runs, `curves` gives points their times, `store` opens MLflow,
`mirror` makes the store show exactly that, `follow` does so while runs train, `track` is the command. Nothing here is
imported by a stage, and mlflow itself only inside functions.
"""
