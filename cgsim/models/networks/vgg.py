"""VGG-16 (Simonyan and Zisserman, ICLR 2015, configuration D) for ImageNet, and as it is used on CIFAR."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.fields import require_range
from cgsim.models.methods.method import Method, Role

VGG16: tuple[int, ...] = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Output channels of the 3 x 3 convolutions; 0 is a 2 x 2 max pool."""


class VGG(nn.Module):
    """13 convolutions and their pools (`features`), and the classifier.

    `large` (ImageNet): five pools, an average pool to 7 x 7 and three linear layers with `dropout` between
    them. Otherwise (CIFAR): four pools, a global average pool and one linear layer, 313.2 M MACs at 32 x 32.
    `batch_norm`: a norm behind every convolution, which then has no bias, as the norm takes it away again
    (`cgsim.models.weights` folds the biases of published weights into the norms); otherwise biases and no
    norms, as first published, which only the ungated network can be. Tensors are named as in torchvision.
    """

    family: ClassVar[str] = "vgg"

    def __init__(
        self,
        in_channels: int,
        classes: int,
        method: Method,
        *,
        large: bool,
        batch_norm: bool,
        dropout: float = 0.5,
        width: int = 64,
    ) -> None:
        super().__init__()
        if not batch_norm and method.name != "none":
            raise CgsimError(
                f"network 'vgg16': method {method.name!r} needs batch norms, which it has not; use 'vgg16-bn'"
            )
        require_range("architecture: dropout", dropout, 0, 1)
        require_range("architecture: width", width, 1)
        features: list[nn.Module] = []
        inputs = in_channels
        for channels in VGG16 if large else VGG16[:-1]:
            if not channels:
                features.append(nn.MaxPool2d(2))
                continue
            outputs = channels * width // 64
            if batch_norm:
                role: Role = "body" if features else "stem"
                conv = method.conv(inputs, outputs, 3, 1, 1, role=role, activation="relu")
                features += [conv, method.norm(outputs, conv)]
            else:
                features.append(_with_bias(inputs, outputs))
            features.append(nn.ReLU())
            inputs = outputs
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(7 if large else 1)
        hidden = 64 * width
        self.classifier: nn.Module = nn.Linear(inputs, classes)
        if large:
            self.classifier = nn.Sequential(
                *(nn.Linear(inputs * 49, hidden), nn.ReLU(), nn.Dropout(dropout)),
                *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout)),
                nn.Linear(hidden, classes),
            )
        for module in self.classifier.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] -> logits [B, classes]."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _with_bias(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, 1, 1)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
