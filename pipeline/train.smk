# One training. run.json is a receipt; weights, curve and resume state lie beside it, so that Snakemake never deletes
# them. To train again, delete the run's folder.


rule train:
    input:
        lambda wildcards: plan.training_inputs(plan.folder(wildcards)),
    output:
        "<run>/run.json",
    log:
        "<run>/train.log",
    benchmark:
        "<run>/train.time"
    threads: 1
    resources:
        **requests("train"),
    shell:
        "exec xdseg train {output} > {log} 2>&1"
