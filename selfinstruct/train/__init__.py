"""From a run to a fine-tuned model: rows, their encoding, and thin calls of TRL."""
