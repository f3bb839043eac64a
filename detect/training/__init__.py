"""Training, needed only with the ``train`` extra.

``config``   everything a run is made of, from one YAML file
``data``     the chip store → batches
``device``   samples drawn on the device that trains
``augment``  how a chip is varied before the network reads it
``heads``    each head's targets, losses, weight and metric
``losses``   the heads' losses summed, and those that need no labels
``metrics``  the scores of whole validation images
``task``     the LightningModule
``fit``      the run: fit, test, and the weights it leaves
"""

from contextlib import suppress

from detect.base.quiet import no_font_list

with no_font_list(), suppress(ImportError):
    import matplotlib.pyplot  # noqa: F401  (torchmetrics would, which Lightning imports)
