"""What reads a feature map and names a class: the heads of exits."""

from __future__ import annotations

from sartor.stack import Stack

HEAD_CHANNELS = 128
# Down to this side the head's convolutions halve the map.
_SMALLEST_SIDE = 2


def conv_head(start: Stack, num_classes: int, channels: int = HEAD_CHANNELS) -> Stack:
    """Two 3x3 convolutions of stride 2 with batch norm and ReLU, the mean over all positions, a linear layer.

    The head of MSDNet on CIFAR (Huang et al. 2018), which needs a map of side 8. Ours takes any: a convolution keeps
    the side where it is 2 or less, and the mean is over what is left.
    """
    stack = start
    for number in (1, 2):
        stride = 2 if stack.out_side > _SMALLEST_SIDE else 1
        stack = stack.conv(f"conv{number}", channels, kernel=3, stride=stride).batch_norm().activation()
    return pool_head(stack, num_classes)


def pool_head(start: Stack, num_classes: int) -> Stack:
    """The mean over all positions and a linear layer."""
    return start.global_pool().dropout().linear("linear", num_classes)


def auxiliary_head(start: Stack, num_classes: int) -> Stack:
    """The head that helps DARTS to train its final network (quark0/darts, model.py: AuxiliaryHeadCIFAR).

    ReLU, average pooling 5 of stride 3, 1x1 convolution to 128, 2x2 convolution to 768, linear. It is made for a map of
    side 8, of which it leaves one position; on a smaller one the windows are cut, on a larger one the mean is taken.
    """
    stack = start.activation().pool("avg", kernel=min(5, start.out_side), stride=3, padded=False)
    stack = stack.conv("conv1", 128).batch_norm().activation()
    stack = stack.conv("conv2", 768, kernel=min(2, stack.out_side), padded=False).batch_norm().activation()
    return pool_head(stack, num_classes)
