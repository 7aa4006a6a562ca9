"""Evaluation: the split of schemas, the items, the models' answers, their scores, and what the scores say.

| command | reads (role) | writes |
|---|---|---|
| schemas | bfcl-eval and cfn-lint wheels (wheels) | `training.jsonl`, `held_out.jsonl`: schema_id, cluster, schema, origin (where its names come from); `reference.jsonl`: id, suite, text, against which documents are decontaminated |
| items | the schemas | `items/<suite>.jsonl`: id, suite, split (seen or unseen), schema_id, cluster, schema, messages, gold (null where the prompt states no values) |
| generate | a fine-tuned model (model), items | `generations.jsonl`: id, output, n_in, n_out (tokens, the end of turn counted), stop (eos or length) |
| score | items, generations | `scores.parquet`: id, suite, split, cluster, and the metrics below |
| compare | the scores of every model and seed (scores) | `statistics.json`: headline, method, table (model x suite x split x metric) |

The metrics of an answer, each 0..1, with every item in the denominator:

| metric | 1 means |
|---|---|
| parse | the whole output is one strict RFC 8259 text: no NaN, no duplicate key, nothing around it |
| schema_valid | it also fits the item's schema (jsonschema-rs, formats checked) |
| exact | it also equals the gold value; null without gold |
| leaf_f1 | F1 of (path, value) pairs against the gold; null without gold |
| key_f1 | F1 of key paths against the gold's, or against the schema's required names |
| truncated | the answer hit max_new_tokens |

Metrics of schemas: per side schemas, names, by_kind (names available by type); reference_texts. Of items:
suites.<suite>.<split>.{items, clusters, with_gold}. Of generate: items, over_context, new_tokens, stopped, dtype. Of score:
model, seed, suites.<suite>.<split>.{items and the mean of each metric, null where no item has it}. Of compare: headline
{treatment, control, suite, split, metric, difference, low, high, p, treatment_mean, control_mean, n_items, n_clusters,
seeds, confidence, resamples} and method.
"""
