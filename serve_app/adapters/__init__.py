"""LoRA adapters of served models: which there are, whoever loaded them, and who may be asked for one."""
