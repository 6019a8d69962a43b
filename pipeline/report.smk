# Tables and figures from records.


rule board:
    input:
        plan.records,
        plan.entered,
    output:
        cells="results/{suite}/board-{board}/cells.csv",
        leaderboard="results/{suite}/board-{board}/leaderboard.csv",
        json="results/{suite}/board-{board}/leaderboard.json",
        metrics="results/{suite}/board-{board}/metrics.json",
        markdown="results/{suite}/board-{board}/leaderboard.md",
        costs="results/{suite}/board-{board}/costs.csv",
        heatmap="results/{suite}/board-{board}/heatmap.png",
    log:
        "results/{suite}/board-{board}/board.log",
    benchmark:
        "results/{suite}/board-{board}/board.time"
    localrule: True
    threads: 1
    shell:
        "exec xdseg board {output.cells} > {log} 2>&1"
