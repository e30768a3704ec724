"""A batch's results as one page: ``cohort.html``, for those who look at many patients at once.

``read`` asks the database, ``figures`` and ``swimmer`` draw, ``thumbnails`` takes a small picture
out of each report, ``page`` puts them together.
"""
