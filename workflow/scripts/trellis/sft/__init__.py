"""Supervised fine-tuning: every model is trained on the same examples in the same order, on the assistant's tokens only.

data   reads the training side of the schema split (schemas) and the tokenizer (tokenizer)
       writes `train.jsonl` (id, schema_id, messages: [{role, content}])
       metrics: examples, schemas (that occur in them), too_long (left out: more than max_length tokens), tokens,
       assistant_characters
train  reads a base model (base) and the examples (data)
       writes `model/` (safetensors, config, generation config, tokenizer with chat template) and `metrics.jsonl` (step,
       tokens, loss, lr, grad_norm, token_accuracy; one line a step)
       metrics: parameters, examples (epochs counted), tokens, assistant_tokens (that carried loss, counted from the
       labels of every batch), steps, data_sha256 (of `train.jsonl`), order_sha256 (of the examples' ids as they were
       batched), first_loss, final_loss (means over the first and the last tenth of the steps)
"""
