"""Answers that rest on passages: the grounded prompt, its untrusted text, sentences, and extraction.

Pure functions, shared by the agent that writes such prompts and the engines that read them.
"""
