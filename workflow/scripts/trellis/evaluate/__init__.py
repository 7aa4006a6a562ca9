"""Evaluation: the split of schemas, the suites, the models' answers, their scores, and what the scores say.

schemas    reads the wheels of bfcl-eval and cfn-lint and those of real schemas (`wheels`), repositories of real schemas
           (`files`). Config: `schemas` (the pool), `origins` (of real schemas), `component` (of evaluation.distance).
           training.jsonl, held_out.jsonl: schema_id, cluster, stratum, schema, origin (where its names come from).
           reference.jsonl: id, suite, text: what nobody may be trained on. No training schema is as similar as `component`
           to one in it.
           metrics: training and held_out {schemas, names, by_kind: names available by type, strata}, reference_texts,
           candidates {kept, left_out {reason: schemas}} of the real schemas.
items      one job per suite; reads `schemas`, `tokenizer`, and the suite's `wheels` or `files`. `suites.KIND` makes them.
           Config: name, suite, text_share, template, room (tokens for a prompt), max_new_tokens, shots.
           items.jsonl: an item a line, see below. excluded.jsonl: id, n_prompt, n_answer (tokens of the shared tokenizer;
           the end of turn counted; null without an answer) of items whose prompt leaves no room, or whose right answer nobody
           could finish: left out for all models alike. shots.jsonl: messages, answer (stratum: where it is for items of that
           only) of examples for base models, none of which is an item. Every gold fits its own schema, or the build stops.
           metrics: kind, splits.SPLIT.{items, clusters, with_gold}, features {feature: items}, excluded, baselines {NAME:
           the suite's main metric of a constant answer}, sha256 (of items.jsonl).
distance   reads the `items` of all suites and the fine-tuning `data`.
           nearest.parquet, for every item that has a schema or tools: id, suite, similarity (to the nearest schema of
           fine-tuning: Jaccard over (path, type) sets), nearest (the example's id), same_shape, name_overlap (share of the
           schema's property names that fine-tuning has), bucket (seen, near, far, held_out_feature).
           metrics: suites.SUITE.{buckets {bucket: items}, histogram (items in 20 equal bars of similarity)}, schemas
           (distinct ones in fine-tuning). An unseen item that fine-tuning has seen stops the build.
generate   one job per model and suite; reads `model` (a base or a fine-tuned one) and `items`.
           Config: generation, template, base.
           generations.jsonl: id, mode (free, constrained), output, n_in, n_out (tokens, the end of turn counted), stop (eos,
           length, room: the prompt left no room; grammar: the schema could not be compiled, or not followed to the end, and
           the free answer stands; grammar_length: and that one was cut off), shots. Free answers of all items first, each in
           the items' order. Constrained only where an item has a schema.
           likelihoods.jsonl: id, nats (null: it does not fit the context with its prompt), bytes: of the gold answer's
           text given the prompt, without the end of turn, where there is one.
           metrics: kind, items, modes.MODE.{items, new_tokens, stopped {stop: items}}, likelihoods {items, over_context},
           dtype, identical_in_float32 (share of 64 free outputs that float32 gives too; null on a processor).
           run: tokens_per_second by mode.
score      reads the `items` of all suites and the model's `generations`. `scorers.KIND` judges.
           scores.parquet, a row per item and mode: id, suite, split, stratum, cluster, mode, and METRICS, null where an item
           does not have them.
           metrics: model, seed (null: the base model), suites.SUITE.SPLIT.MODE.{items, each metric's mean}.
knowledge  reads `model` and the `files` of the tasks' repositories; runs lm-eval.
           results.json; metrics: model, seed, tasks.TASK.{items, acc, acc_stderr, acc_norm, acc_norm_stderr}.
compare    reads the `scores` of every model and seed, `distance`, and `knowledge` where it was asked for.
           statistics.json, see `compare`. metrics: primary, method.

An item: id, suite, kind, split (seen, unseen), stratum, cluster (items of one schema share their luck), schema_id, schema (JSON
Schema of the whole answer; null where the answer is not JSON), messages, gold (the JSON value, or text; null where any valid
answer will do), answer (the gold as the text to be written; null without), check (what the suite's own scorer needs).

METRICS, each from 0 to 1, with every item in the denominator:

parse          the whole output is one strict text of its language: RFC 8259 without NaN, duplicate keys or anything around
parse_lenient  so is its first fenced or balanced value
schema_valid   it parses and fits the item's schema (jsonschema-rs, formats checked)
exact          it also equals the gold value; null without gold
leaf_f1        F1 of (path, value) pairs against the gold; null without gold
key_f1         F1 of key paths against the gold's, or against the schema's required names
type_accuracy  share of the gold's leaves at whose path the output has a value of the same type; null without gold
name_accuracy  function calling: the functions called are those of the gold
ast            function calling: BFCL's check of names and arguments; null where no tool helps
called         function calling: the output calls at all; balanced accuracy over answerable and irrelevant items follows
execution      text-to-SQL: the query's result is the gold query's
truncated      the answer reached max_new_tokens
nll_per_byte   nats per UTF-8 byte of the gold answer given the prompt (not bounded by 1); in mode free only
"""

METRICS = (
    "parse",
    "parse_lenient",
    "schema_valid",
    "exact",
    "leaf_f1",
    "key_f1",
    "type_accuracy",
    "name_accuracy",
    "ast",
    "called",
    "execution",
    "truncated",
    "nll_per_byte",
)
