# Tables, figures and the page, from records.


report: "captions/workflow.rst"


rule board:
    input:
        plan.records,
        plan.entered,
    output:
        cells=report(
            "results/{suite}/board-{board}/cells.csv",
            caption="captions/cells.rst",
            category="{suite}",
            labels={"what": "every cell"},
        ),
        leaderboard=report(
            "results/{suite}/board-{board}/leaderboard.csv",
            caption="captions/leaderboard.rst",
            category="{suite}",
            labels={"what": "leaderboard"},
        ),
        json="results/{suite}/board-{board}/leaderboard.json",
        metrics="results/{suite}/board-{board}/metrics.json",
        markdown="results/{suite}/board-{board}/leaderboard.md",
        latex="results/{suite}/board-{board}/leaderboard.tex",
        gains=report(
            "results/{suite}/board-{board}/gains.csv",
            caption="captions/gains.rst",
            category="{suite}",
            labels={"what": "gains"},
        ),
        class_gains="results/{suite}/board-{board}/class_gains.csv",
        image_gains="results/{suite}/board-{board}/image_gains.csv",
        gains_figure=report(
            "results/{suite}/board-{board}/gains.png",
            caption="captions/gains_figure.rst",
            category="{suite}",
            labels={"what": "gain on every pair"},
        ),
        gains_lines="results/{suite}/board-{board}/gains.svg",
        ranks=report(
            "results/{suite}/board-{board}/ranks.csv",
            caption="captions/ranks.rst",
            category="{suite}",
            labels={"what": "ranks"},
        ),
        ranks_figure=report(
            "results/{suite}/board-{board}/ranks.png",
            caption="captions/ranks_figure.rst",
            category="{suite}",
            labels={"what": "ranks, as a figure"},
        ),
        ranks_lines="results/{suite}/board-{board}/ranks.svg",
        costs=report(
            "results/{suite}/board-{board}/costs.csv",
            caption="captions/costs.rst",
            category="{suite}",
            labels={"what": "costs"},
        ),
        heatmap=report(
            "results/{suite}/board-{board}/heatmap.png",
            caption="captions/heatmap.rst",
            category="{suite}",
            labels={"what": "heat map"},
        ),
        heatmap_lines="results/{suite}/board-{board}/heatmap.svg",
        page=report(
            "results/{suite}/board-{board}/index.html",
            caption="captions/page.rst",
            category="{suite}",
            labels={"what": "page"},
        ),
    log:
        "results/{suite}/board-{board}/board.log",
    benchmark:
        "results/{suite}/board-{board}/board.time"
    localrule: True
    threads: 1
    shell:
        "exec xdseg board {output.cells} > {log} 2>&1"
