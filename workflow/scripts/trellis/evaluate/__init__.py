"""Evaluation: the split of schemas, the items, the models' answers, their scores, and what the scores say.

schemas   reads the wheels of bfcl-eval and cfn-lint (wheels)
          writes `training.jsonl`, `held_out.jsonl` (schema_id, cluster, schema, origin: where its names come from) and
          `reference.jsonl` (id, suite, text: the texts against which documents are decontaminated)
          metrics: training and held_out {schemas, names, by_kind: names available by type}, reference_texts
items     reads the schemas (schemas)
          writes `items/<suite>.jsonl` (id, suite, split: seen or unseen, schema_id, cluster, schema, messages, gold:
          null where the prompt states no values)
          metrics: suites.<suite>.<split>.{items, clusters, with_gold}
generate  reads a fine-tuned model (model) and the items (items)
          writes `generations.jsonl` (id, output, n_in, n_out: tokens, the end of turn counted, stop: eos or length)
          metrics: items, over_context (no room for an answer: left empty), new_tokens, stopped, dtype
score     reads the items (items) and the generations (generations)
          writes `scores.parquet` (id, suite, split, cluster, and the metrics below)
          metrics: model, seed, suites.<suite>.<split>.{items, the mean of each metric: null where no item has it}
compare   reads the scores of every model and seed (scores)
          writes `statistics.json` (headline, method, table: model x suite x split x metric with mean, low, high,
          n_items, n_clusters, seeds)
          metrics: headline {treatment, control, suite, split, metric, difference, low, high, p, treatment_mean,
          control_mean, n_items, n_clusters, seeds, confidence, resamples}, method

The metrics of an answer, each from 0 to 1, with every item in the denominator:

parse         the whole output is one strict RFC 8259 text: no NaN, no duplicate key, nothing around it
schema_valid  it also fits the item's schema (jsonschema-rs, formats checked)
exact         it also equals the gold value; null without gold
leaf_f1       F1 of (path, value) pairs against the gold; null without gold
key_f1        F1 of key paths against the gold's, or against the schema's required names
truncated     the answer reached max_new_tokens
"""
