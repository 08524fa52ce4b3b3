"""Dashboards in Grafana's JSON, from panels that say what they ask and in which unit. Knows no series.

Made for Grafana 10 and later (schemaVersion 39): https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.render.dashboards.lines import Lines

Json = dict[str, Any]
# Grafana's names of units: https://github.com/grafana/grafana/blob/main/packages/grafana-data/src/valueFormats/categories.ts
Unit = Literal[
    "short",
    "reqps",
    "ops",
    "percentunit",
    "percent",
    "s",
    "ms",
    "bytes",
    "Bps",
    "currencyUSD",
    "celsius",
    "none",
]
Kind = Literal["timeseries", "stat", "bargauge", "table"]
_COLUMNS = 24
# The data source and the namespace are chosen in Grafana; a dashboard names none.
DATA_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
NAMESPACE = "$namespace"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel."""

    title: str
    unit: Unit
    lines: Lines
    kind: Kind = "timeseries"
    description: str = ""
    width: int = 8  # of 24 columns
    height: int = 8
    stacked: bool = False
    maximum: float | None = None
    thresholds: tuple[float, ...] = ()  # from good to bad: yellow, red


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice above the panels: the values that a label has."""

    name: str
    label: str
    query: str  # `label_values(series, label)`


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard. Its uid never changes, so that links to it go on working."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = field(default_factory=tuple)

    def json(self, namespace: str) -> Json:
        """As Grafana reads it; `namespace` is what is chosen at first."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["manta"],
            "timezone": "browser",
            "schemaVersion": 39,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,  # one crosshair over all panels
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "templating": {"list": [_data_source(), _constant(namespace), *map(_variable, self.variables)]},
            "annotations": {"list": []},
            "links": [
                {
                    "type": "dashboards",
                    "title": "Manta",
                    "tags": ["manta"],
                    "asDropdown": True,
                    "includeVars": True,
                    "keepTime": True,
                }
            ],
            "panels": list(_placed(self.rows)),
        }


def _placed(rows: Iterable[Row]) -> Iterable[Json]:
    """Panels with their places: from left to right, a new line where one does not fit."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
            "panels": [],
        }
        top += 1
        left, line_height = 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, line_height = top + line_height, 0, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield _panel(panel, number, place)
            left += panel.width
            line_height = max(line_height, panel.height)
        top += line_height


def _panel(panel: Panel, number: int, place: Json) -> Json:
    is_table = panel.kind == "table"
    made: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATA_SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATA_SOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
                "range": not is_table,
                "instant": is_table,
                "format": "table" if is_table else "time_series",
            }
            for index, (legend, expr) in enumerate(panel.lines.items())
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }
    if is_table:
        made["transformations"] = [
            {
                "id": "organize",
                "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": panel.title}},
            }
        ]
    return made


def _defaults(panel: Panel) -> Json:
    colours = ("green", "yellow", "red")
    steps = [
        {"color": colour, "value": value}
        for colour, value in zip(colours, (None, *panel.thresholds), strict=False)
    ]
    defaults: Json = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {
            "mode": "thresholds" if panel.thresholds and panel.kind != "timeseries" else "palette-classic"
        },
    }
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": 60_000,  # ms: one scrape that failed is no gap
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.thresholds else "off"},
        }
    return defaults


def _options(panel: Panel) -> Json:
    if panel.kind == "timeseries":
        return {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["mean", "max", "lastNotNull"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "table":
        return {"showHeader": True, "sortBy": [{"displayName": panel.title, "desc": True}]}
    return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "orientation": "auto"}


def _data_source() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
    }


def _constant(namespace: str) -> Json:
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "textbox",
        "query": namespace,
        "current": {"text": namespace, "value": namespace},
        "hide": 0,
    }


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": {"query": variable.query, "refId": variable.name},
        "definition": variable.query,
        "refresh": 2,  # when the time range changes: names come and go
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
        "hide": 0,
    }
