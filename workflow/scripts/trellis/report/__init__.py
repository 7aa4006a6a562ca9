"""The report stage: one page that answers the research question, computed from the results' files and nothing else.

**report_build** reads every job's result (role `results`, in the plan's order) and finds what it needs by stage, command
and name. Its config is `experiment` (the whole experiment), `samples` (how many outputs are shown) and `digest` (sha256
of the experiment's semantic keys). It writes

- `report.html`: self-contained (inline style and SVG, no script, no network; a Content-Security-Policy says so). The
  meta element `trellis-fingerprint`, within the first 2 kB, carries the fingerprint of the result.
- metrics: `verdict` ("supports", "contradicts", "cannot tell"), `difference`, `low`, `high` (0..1), `samples` (shown).

Only evaluate_compare is indispensable. A section whose other inputs are missing says so in a sentence.

**publish** (`python -m trellis.report.publish --manifest M --to results/report.html`) verifies the page against its
manifest and copies it to its well-known place.
"""
