"""The lifecycle report: what changed, why, and what to do, in sentences and pictures on a page.

From the bottom up, imports going one way:

- :mod:`~pipelines.report.periods`, :mod:`~pipelines.report.points` and
  :mod:`~pipelines.report.known`: the vocabulary. A period, a value with its interval, what was
  known by a day.
- :mod:`~pipelines.report.acquisition`, ``journey``, ``development``, ``retention``, ``loss``,
  ``stages``, ``worth``, ``predictions``, ``actions``: the facts, pure functions to frozen
  dataclasses.
- :mod:`~pipelines.report.findings`: what of it is worth saying, still without words.
- ``words``, ``figures`` and ``page``: how it is told, in English or Chinese.
- :mod:`~pipelines.report.report`: the verb.

For a notebook the entrance is :func:`pipelines.report.report.gather`, which gives
:class:`pipelines.report.contents.Contents` without writing anything.
"""
