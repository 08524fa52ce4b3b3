"""How families of models write what is not plain text: tool calls and reasoning."""
