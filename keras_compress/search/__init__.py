"""Search: trials on worker processes or a Ray cluster, a journal to go on from, bisection.

* `trials`, `workers`: a function mapped over settings, on this machine or a Ray cluster.
* `journal`, `fingerprint`: results kept on the disk, for one thing that is searched.
* `bisection`: one number, narrowed round by round.
* `genetic`: which of many bits to set.
* `multi_objective`: the best compromises between several numbers.
* `progress`: telling a waiting person how far it is.
"""

from keras_compress.search.bisection import Bracket, bisect
from keras_compress.search.fingerprint import fingerprint
from keras_compress.search.genetic import evolve_bits
from keras_compress.search.journal import Journal
from keras_compress.search.multi_objective import FrontPoint, search_front
from keras_compress.search.progress import Progress, RichProgress, progress_callback
from keras_compress.search.trials import Trial, run_trials

__all__ = [
    "Bracket",
    "FrontPoint",
    "Journal",
    "Progress",
    "RichProgress",
    "Trial",
    "bisect",
    "evolve_bits",
    "fingerprint",
    "progress_callback",
    "run_trials",
    "search_front",
]
