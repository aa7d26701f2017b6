"""The query language: labels separated by spaces, all of which must hold.

    football grass          traffic light person          "traffic light" person

Words that together are a label are taken as that label, the longest first; quotes keep words together.
"""

import shlex

from aaam_pipeline.core.errors import UnknownLabelError, UsageError
from aaam_pipeline.core.vocabulary import Vocabulary

# the product of more bytes than this would leave the range of a double
MOST_LABELS = 100


def parse(text: str, vocabulary: Vocabulary) -> list[int]:
    """Return the ids of the labels that a query names, each once, in the order named.

    Raises:
        UsageError: the query is empty, a quote is not closed, or it names more than 100 labels.
        UnknownLabelError: words are not labels; the message names them all, with the nearest labels.
    """
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape, lexer.quotes = True, "", "", '"'
    try:
        words = list(lexer)
    except ValueError:
        raise UsageError(
            f'a quote is not closed in {text!r}; write labels of several words as "traffic light"'
        ) from None
    if not words:
        raise UsageError('the query is empty; name one or more labels, as in "football grass"')
    ids, unknown = [], []
    longest = max(len(label.split()) for label in vocabulary)
    while words:
        taken = next(
            (count for count in range(min(longest, len(words)), 0, -1) if " ".join(words[:count]) in vocabulary), 1
        )
        try:
            ids.append(vocabulary.id(" ".join(words[:taken])))
        except UnknownLabelError as error:
            unknown.append(str(error))
        words = words[taken:]
    if unknown:
        raise UnknownLabelError("; ".join(dict.fromkeys(unknown)))
    ids = list(dict.fromkeys(ids))
    if len(ids) > MOST_LABELS:
        raise UsageError(f"the query names {len(ids)} labels; at most {MOST_LABELS} can be asked for at once")
    return ids
