# From a trained run to the records of its cells. One process predicts all targets of a run: start-up costs more than
# a target does. What is trained is brought to its records before anything else is begun: results show early, and few
# jobs wait at a time, all of which Snakemake looks over whenever one ends.


rule predict:
    input:
        run="<run>/run.json",
        images=lambda wildcards: plan.prediction_inputs(plan.folder(wildcards)),
    output:
        "<run>/predictions-{set}.json",
    log:
        "<run>/predictions-{set}.log",
    benchmark:
        "<run>/predictions-{set}.time"
    priority: 1
    group:
        "evaluate"
    threads: 1
    resources:
        **requests("predict"),
    shell:
        "exec xdseg predict {output} > {log} 2>&1"


rule score:
    input:
        lambda wildcards: plan.scoring_inputs(plan.cell_folder(wildcards)),
    output:
        "<cell>/score-{score}.json",
    log:
        "<cell>/score-{score}.log",
    benchmark:
        "<cell>/score-{score}.time"
    priority: 2
    group:
        "evaluate"
    threads: 1
    resources:
        **requests("score"),
    shell:
        "exec xdseg score {output} > {log} 2>&1"


rule record:
    input:
        lambda wildcards: plan.record_inputs(plan.record_path(wildcards)),
    output:
        "results/records/{suite}/{method}/{source}--{target}/s{seed}-{score}.json",
    log:
        "results/records/{suite}/{method}/{source}--{target}/s{seed}-{score}.log",
    benchmark:
        "results/records/{suite}/{method}/{source}--{target}/s{seed}-{score}.time"
    priority: 3
    group:
        "evaluate"
    threads: 1
    resources:
        **requests("record"),
    shell:
        "exec xdseg record {output} > {log} 2>&1"
