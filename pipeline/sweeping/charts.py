"""The report's interactive charts: Optuna's own, drawn by Plotly in the reader's browser.

figures.py draws the same for places that run no scripts: Plotly makes a picture only by Kaleido, which needs a Chrome.
"""

import plotly.graph_objects as go
import plotly.io
from optuna import visualization

from pipeline.evaluation.figures.style import BAD, GOOD, GREY
from pipeline.sweeping.analysis import LINES, Findings, among, objective_of

LOOK = {
    "template": "plotly_white",
    "title": None,
    "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
    "font": {"family": "system-ui, sans-serif", "size": 13},
    "colorway": [GOOD, BAD, GREY],
}
PANEL = 200  # pixels of width for each axis of a wide chart, which scrolls sideways


def drawn(found: Findings) -> dict[str, list[str]]:
    """figure → its charts as HTML; without those that can't be drawn."""
    draw = {"history": history, "importances": importances, "slices": slices, "parallel": parallel, "pareto": pareto}
    wanted = [name for name in draw if name not in found.refusals]
    return {name: [html(name, *one) for one in enumerate(draw[name](found))] for name in wanted}


def html(name: str, number: int, figure: go.Figure) -> str:
    figure.update_layout(**LOOK)
    config = {"displayModeBar": False, "responsive": True}
    return plotly.io.to_html(figure, config, include_plotlyjs=False, full_html=False, div_id=f"{name}-{number}")


def broken(name: str) -> str:
    """A long name over several lines."""
    return name if len(name) <= 16 else name.replace(".", ".<br>")


def history(found: Findings) -> list[go.Figure]:
    figures = []
    for number, objective in enumerate(found.objectives):
        figure = visualization.plot_optimization_history(
            found.study, target=objective_of(number), target_name=objective
        )
        if len(found.objectives) == 1:  # Optuna draws the best so far only where it knows the direction
            figure = visualization.plot_optimization_history(found.study, target_name=objective)
        figures.append(figure.update_layout(height=340, legend={"orientation": "h", "y": 1.12}))
    return figures


def importances(found: Findings) -> list[go.Figure]:
    bars = []
    for objective, shares in found.importances.items():
        names, values = list(shares)[::-1], list(shares.values())[::-1]
        bars.append(go.Bar(y=names, x=values, name=objective, orientation="h", texttemplate="%{x:.0%}"))
    figure = go.Figure(bars)
    rows = max(len(shares) for shares in found.importances.values())
    figure.update_layout(height=110 + 34 * rows * len(bars), xaxis={"tickformat": ".0%", "range": [0, 1.05]})
    return [figure.update_yaxes(automargin=True).update_layout(showlegend=len(bars) > 1)]


def slices(found: Findings) -> list[go.Figure]:
    names = [one.name for one in found.parameters]
    figures = []
    for number, objective in enumerate(found.objectives):
        figure = visualization.plot_slice(found.study, names, target=objective_of(number), target_name=objective)
        figure.for_each_xaxis(tidy)
        figures.append(figure.update_layout(width=None, height=400, autosize=True))
    return figures


def tidy(axis: go.layout.XAxis) -> None:
    axis.update(title=broken(axis.title.text), **({"tickangle": 30} if axis.type == "category" else {}))


def parallel(found: Findings) -> list[go.Figure]:
    study = among(found.sample(LINES), found.objectives, found.directions)
    names = [one.name for one in found.parameters]
    if len(found.objectives) == 1:
        figure = visualization.plot_parallel_coordinate(study, names, target_name=found.objectives[0])
    else:
        figure = visualization.plot_parallel_coordinate(study, names)
    axes = [*found.objectives, *sorted(names)]  # Optuna's order; it cuts long names off
    return [figure.update_layout(height=440, xaxis={"ticktext": [broken(one) for one in axes]})]


def pareto(found: Findings) -> list[go.Figure]:
    return [visualization.plot_pareto_front(found.study, target_names=found.objectives).update_layout(height=420)]
