"""Single edges: criteria judge them, a mask says which stay, and what a mask makes possible is made real.

>>> from nervure import nets, sparsify
>>> net = nets.build("lenet5", in_shape=(1, 28, 28), classes=10)
>>> mask = sparsify.plan(net, None, criterion="isparse", sparsity=0.5, initial="identity")
>>> thin = mask.apply(net)
>>> round(mask.sparsity, 3), int((sparsify.bake(thin).features[0].weight == 0).sum())
(0.5, 75)
"""

from nervure.sparsify import criteria
from nervure.sparsify.compact import Compacted, compact, compacted
from nervure.sparsify.execute import measured, sparse, table_of
from nervure.sparsify.mask import Mask
from nervure.sparsify.masked import Masked, bake, masked, masks_of
from nervure.sparsify.plan import plan
from nervure.sparsify.semi_structured import semi_structured, suited
from nervure.sparsify.times import TimeTable
from nervure.sparsify.training import lottery, train_with

__all__ = [
    "Compacted",
    "Mask",
    "Masked",
    "TimeTable",
    "bake",
    "compact",
    "compacted",
    "criteria",
    "lottery",
    "masked",
    "masks_of",
    "measured",
    "plan",
    "semi_structured",
    "sparse",
    "suited",
    "table_of",
    "train_with",
]
