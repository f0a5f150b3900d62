"""What clients of mly ask for beside predictions: ``/v1/api/model/<id>/meta/config``, ``…/dictionary``, ``…/stats``.

Such a client makes keys and reads caches by itself, from the first two documents. It fetches the configuration once,
and the dictionary again whenever the ``dictHash`` of an answer is not the ``Hash`` of the one it has. Members and their
order are mly's; what our own client needs besides stands at the end, where Go's decoder does not see it.
"""
