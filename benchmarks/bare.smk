# The workflow of this project as plainly as Snakemake can have it: the same rules, paths, logs and benchmark lines, and
# every input looked up in a table that lies ready. What pipeline.py compares a dry run of the true one with.

import json

with open("table.json") as file:
    inputs = json.load(file)


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
    train="[0-9a-f]{8}",
    predict="[0-9a-f]{8}",
    score="[0-9a-f]{8}",
    digest="[0-9a-f]{8}",
    set="[0-9a-f]{8}",
    board="[0-9a-f]{8}",


rule all:
    default_target: True
    input:
        inputs["all"],
    log:
        "results/publish.log",
    localrule: True
    threads: 1
    shell:
        "xdseg publish {input} 2>&1 | tee {log}"


rule cache:
    output:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.json",
    log:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.log",
    benchmark:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.time"
    threads: 1
    shell:
        "exec xdseg cache {output} > {log} 2>&1"


rule train:
    input:
        lambda w: inputs["train"][f"results/{w.suite}/{w.method}/{w.pair}/s{w.seed}-{w.train}"],
    output:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/run.json",
    log:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/train.log",
    benchmark:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/train.time"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=0,
    shell:
        "exec xdseg train {output} > {log} 2>&1"


rule predict:
    input:
        run="results/{suite}/{method}/{pair}/s{seed}-{train}/run.json",
        images=lambda w: inputs["predict"][f"results/{w.suite}/{w.method}/{w.pair}/s{w.seed}-{w.train}"],
    output:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/predictions-{set}.json",
    log:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/predictions-{set}.log",
    benchmark:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/predictions-{set}.time"
    group:
        "evaluate"
    threads: 1
    shell:
        "exec xdseg predict {output} > {log} 2>&1"


rule score:
    input:
        lambda w: inputs["score"][f"results/{w.suite}/{w.method}/{w.pair}/s{w.seed}-{w.train}/{w.target}-{w.predict}"],
    output:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/{target}-{predict}/score-{score}.json",
    log:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/{target}-{predict}/score-{score}.log",
    benchmark:
        "results/{suite}/{method}/{pair}/s{seed}-{train}/{target}-{predict}/score-{score}.time"
    group:
        "evaluate"
    threads: 1
    shell:
        "exec xdseg score {output} > {log} 2>&1"


rule record:
    input:
        lambda w: inputs["record"][
            f"results/records/{w.suite}/{w.method}/{w.source}--{w.target}/s{w.seed}-{w.score}.json"
        ],
    output:
        "results/records/{suite}/{method}/{source}--{target}/s{seed}-{score}.json",
    log:
        "results/records/{suite}/{method}/{source}--{target}/s{seed}-{score}.log",
    benchmark:
        "results/records/{suite}/{method}/{source}--{target}/s{seed}-{score}.time"
    group:
        "evaluate"
    threads: 1
    shell:
        "exec xdseg record {output} > {log} 2>&1"


rule board:
    input:
        inputs["board"],
    output:
        cells="results/{suite}/board-{board}/cells.csv",
        leaderboard="results/{suite}/board-{board}/leaderboard.csv",
        json="results/{suite}/board-{board}/leaderboard.json",
        metrics="results/{suite}/board-{board}/metrics.json",
        markdown="results/{suite}/board-{board}/leaderboard.md",
        latex="results/{suite}/board-{board}/leaderboard.tex",
        gains="results/{suite}/board-{board}/gains.csv",
        class_gains="results/{suite}/board-{board}/class_gains.csv",
        image_gains="results/{suite}/board-{board}/image_gains.csv",
        gains_figure="results/{suite}/board-{board}/gains.png",
        gains_lines="results/{suite}/board-{board}/gains.svg",
        ranks="results/{suite}/board-{board}/ranks.csv",
        ranks_figure="results/{suite}/board-{board}/ranks.png",
        ranks_lines="results/{suite}/board-{board}/ranks.svg",
        costs="results/{suite}/board-{board}/costs.csv",
        heatmap="results/{suite}/board-{board}/heatmap.png",
        heatmap_lines="results/{suite}/board-{board}/heatmap.svg",
        page="results/{suite}/board-{board}/index.html",
    log:
        "results/{suite}/board-{board}/board.log",
    benchmark:
        "results/{suite}/board-{board}/board.time"
    localrule: True
    threads: 1
    shell:
        "exec xdseg board {output.cells} > {log} 2>&1"
