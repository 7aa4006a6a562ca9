"""Supervised fine-tuning: every model is trained on the same examples in the same order, on the assistant's tokens only.

| command | reads (role) | writes |
|---|---|---|
| data | training side of the schema split (schemas), tokenizer | `train.jsonl`: id, schema_id, messages [{role, content}] |
| train | base model (base), examples (data) | `model/`: safetensors, config, generation config, tokenizer with chat template; `metrics.jsonl`: step, tokens, loss, lr, grad_norm, token_accuracy, one line a step |

Metrics of data: examples, schemas (that occur in them), too_long (left out: longer than max_length tokens), tokens,
assistant_characters. Metrics of train: parameters, examples (seen, epochs counted), tokens, assistant_tokens (those that
carried loss, counted from the labels of every batch), steps, data_sha256 (of `train.jsonl`), order_sha256 (of the ids in
the order in which they were batched), first_loss, final_loss (means over the first and the last tenth of the steps).
"""
