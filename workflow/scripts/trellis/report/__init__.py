"""Report: one page that answers the research question, computed from the results' files and nothing else.

build    reads every job's result (`results`, in the plan's order), found by stage, command and name. Config: `experiment`
         (the whole experiment), `samples` (how many outputs to show), `digest` (sha256 of what is semantic in it).
         report.html: self-contained (inline style and SVG; no script, no network, and a Content-Security-Policy that says
             so). `<meta name="trellis-fingerprint">`, within the first 2 kB, carries the result's fingerprint.
         metrics: verdict (supports, contradicts, cannot tell), difference, low, high (each of 1), samples (shown).
         Only evaluate_compare is indispensable; a part whose inputs are missing says so in a sentence.

`python -m trellis.report.publish --manifest M --to results/report.html` checks the page against its manifest and copies it
to its well-known place.
"""
