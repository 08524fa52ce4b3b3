"""An OpenAI-compatible server whose timing is known: the ruler that a load tester is measured against.

It generates nothing. It sends tokens when its flags say they are due, keeps its own log of when each
request came and each answer left, and says how late it was itself. Linux only: epoll and timerfd.
"""
