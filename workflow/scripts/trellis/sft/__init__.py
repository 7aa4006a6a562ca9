"""Supervised fine-tuning: every model is trained on the same examples in the same order, on the assistant's tokens only.

data   reads the training side of the schema split (schemas), the tokenizer (tokenizer) and, in the order of its config's
       `hub` (experiment.sft.SftHubSet), the fetched files of the sets (sets: download_hub results)
       writes `train.jsonl` (id, schema_id: null in a set's examples, messages: [{role, content}]): the schema examples,
       then those of each set, whose ids say where the row stands (`datasets/OWNER/NAME/PATH:ROW`, rows from 1); and
       `contaminated.jsonl` (id, gives_away, suite, how): the conversations that give an evaluation text away, which are
       left out unless `filter.decontamination.remove` is false
       metrics: examples, schemas (that occur in them), too_long (left out: more than max_length tokens), tokens,
       assistant_characters, sets: {repository: {rows, converted, set_aside: {reason: rows}, too_long (of those drawn until
       the sample was full), contaminated, examples, tokens}}, contaminated: {suite: conversations}
train  reads a base model (base) and the examples (data)
       writes `model/` (safetensors, config, generation config, tokenizer with chat template) and `metrics.jsonl` (step,
       tokens, loss, lr, grad_norm, token_accuracy; one line a step)
       metrics: parameters, examples (epochs counted), tokens, assistant_tokens (that carried loss, counted from the
       labels of every batch), steps, data_sha256 (of `train.jsonl`), order_sha256 (of the examples' ids as they were
       batched), first_loss, final_loss (means over the first and the last tenth of the steps)
"""
