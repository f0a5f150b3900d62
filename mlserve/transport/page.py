"""The short page at ``/``: which models there are, how they are, what to ask them. No script, no outside assets."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlserve import __version__
from mlserve.observe.line import one_line
from mlserve.serving.manager import Status

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>mlserve</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ccc; vertical-align: top; }}
code {{ font-size: .9em; }}
</style></head><body>
<h1>mlserve {version}</h1>
<table><thead><tr><th scope="col">Model</th><th scope="col">State</th><th scope="col">Inputs</th>
<th scope="col">Generation</th></tr></thead><tbody>
{rows}
</tbody></table>
<p>Ask with <code>/v1/api/model/&lt;id&gt;/eval?name=value</code>, or POST a JSON object there.</p>
<p><a href="/readyz">readiness</a> · <a href="/v1/api/health">health</a> · <a href="/metrics">metrics</a> ·
<a href="/v1/api/config/">configuration</a></p>
</body></html>
"""

_ROW = "<tr><th scope='row'>{id}</th><td>{state}</td><td>{inputs}</td><td><code>{generation}</code></td></tr>"


def index_page(statuses: Sequence[Status]) -> str:
    """The page for these models; every text from outside is escaped."""
    return _PAGE.format(version=escape(__version__), rows="\n".join(map(_row, statuses)))


def _row(status: Status) -> str:
    deployment = status.deployment
    if deployment is None:
        state, inputs, generation = one_line(status.reason or ""), "", ""
    else:
        state = f"serving; last load failed: {one_line(status.error)}" if status.error else "serving"
        inputs = ", ".join(f"{field.name} ({field.dtype})" for field in deployment.interface.inputs)
        generation = deployment.generation[:12]
    return _ROW.format(
        id=escape(status.model_id), state=escape(state), inputs=escape(inputs), generation=escape(generation)
    )
