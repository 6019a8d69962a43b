# What the rule files share: the plan (which files the grid makes), what jobs ask for, short names for paths, the shape
# of each wildcard.

from xdseg import resources as cluster
from xdseg import workflow as grid

plan = grid.plan_from(config)
requests = cluster.requests(plan)


# Only used with `--software-deployment-method apptainer`; pipeline/container/ says how to make it.
container: "pipeline/container/xdseg.sif"


pathvars:
    run="results/{suite}/{method}/{pair}/s{seed}-{train}",
    cell="results/{suite}/{method}/{pair}/s{seed}-{train}/{target}-{predict}",


wildcard_constraints:
    suite=r"[A-Za-z0-9_.-]+",
    method=r"[a-z0-9+-]+",
    pair=r"[A-Za-z0-9_.+-]+",
    source=r"[A-Za-z0-9_.+-]+",
    target=r"[A-Za-z0-9_.-]+",
    domain=r"[A-Za-z0-9_.-]+",
    split=r"[A-Za-z0-9_.-]+",
    what="images|labels",
    seed=r"\d+",
    backbone=r"[A-Za-z0-9]+(?:[_.][A-Za-z0-9]+)*",
    train="[0-9a-f]{8}",
    predict="[0-9a-f]{8}",
    score="[0-9a-f]{8}",
    digest="[0-9a-f]{8}",
    set="[0-9a-f]{8}",
    board="[0-9a-f]{8}",


# The scheduler exists from here on.
onstart:
    grid.without_usual_rate(workflow.scheduler)


# A table with holes beats no table: after a failure the cells that exist are published, the others shown as missing.
# An interrupt publishes nothing, nor does a run of a single target.
onerror:
    if grid.publishes_partial(log, [str(job.rule) for job in workflow.dag.targetjobs]):
        shell("xdseg board --partial {plan.partial} && xdseg publish {plan.partial}")
