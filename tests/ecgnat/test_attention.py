"""Neighborhood attention: the fast back ends against the plain one, and against natten itself if it is installed."""

import pytest
import torch

from ecgnat.attention import _bias_as_channels, neighborhood_attention, neighbours

TOLERANCE = 1e-5  # float32 sums in another order
CASES = [
    (16, 7, 1),
    (63, 13, 1),
    (65, 8, 1),
    (125, 13, 1),
    (250, 13, 1),
    (250, 31, 1),
    (100, 8, 2),
    (71, 5, 3),
    (60, 4, 7),
    (13, 13, 1),
    (33, 2, 1),
]


def qkv(length, heads=2, head_dim=16):
    generator = torch.Generator().manual_seed(length)
    return [torch.randn(2, length, heads, head_dim, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("length", "kernel", "dilation"), CASES)
def test_block_and_dense_equal_gather(length, kernel, dilation, biased, causal):
    q, k, v = qkv(length)
    bias = torch.randn(2, 2 * kernel - 1, generator=torch.Generator().manual_seed(1)) if biased else None
    expected = neighborhood_attention(q, k, v, kernel, dilation, bias, causal=causal, backend="gather")
    for backend in ("block", "dense"):
        got = neighborhood_attention(q, k, v, kernel, dilation, bias, causal=causal, backend=backend)
        assert torch.allclose(got, expected, atol=TOLERANCE, rtol=0), backend


def test_gradients_of_block_equal_those_of_gather():
    q, k, v = qkv(80)
    bias = torch.zeros(2, 25)
    gradients = []
    for backend in ("block", "gather"):
        leaves = [x.clone().requires_grad_() for x in (q, k, v, bias)]
        neighborhood_attention(*leaves[:3], 13, 1, leaves[3], backend=backend).square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for got, expected in zip(*gradients, strict=True):
        assert torch.allclose(got, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")  # natten's CPU form warns of torch's eager flex_attention
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "kernel", "dilation"), CASES)
def test_same_as_natten(length, kernel, dilation, causal):
    functional = pytest.importorskip(
        "natten.functional", reason="natten is not installed: pip install natten --no-build-isolation"
    )
    if causal and length == kernel:
        pytest.skip("natten takes this for plain causal attention, which it does not have on a CPU")
    q, k, v = qkv(length)
    expected = functional.na1d(q, k, v, kernel_size=kernel, dilation=dilation, is_causal=causal)
    got = neighborhood_attention(q, k, v, kernel, dilation, causal=causal)
    assert torch.allclose(got, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.filterwarnings("ignore")  # as above
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "kernel", "dilation"), [*CASES, (20, 1, 1)])
def test_natten_as_a_back_end_takes_the_bias(length, kernel, dilation, causal):
    pytest.importorskip("natten", reason="natten is not installed: pip install natten --no-build-isolation")
    if causal and length == kernel:
        pytest.skip("natten takes this for plain causal attention, which it does not have on a CPU")
    q, k, v = qkv(length, head_dim=12)
    bias = torch.randn(2, 2 * kernel - 1, generator=torch.Generator().manual_seed(1))
    expected = neighborhood_attention(q, k, v, kernel, dilation, bias, causal=causal)
    got = neighborhood_attention(q, k, v, kernel, dilation, bias, causal=causal, backend="natten")
    assert torch.allclose(got, expected, atol=5 * TOLERANCE, rtol=0)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (7, 1), (8, 2), (13, 3)])
def test_the_channels_of_a_bias_equal_the_bias_without_its_mean(kernel, dilation):
    """The channels that replace a bias for `natten`: their products are its values at every pair of neighbours."""
    length = 60
    bias = torch.randn(2, 2 * kernel - 1, generator=torch.Generator().manual_seed(kernel))
    for_query, for_key = _bias_as_channels(bias, length, kernel, dilation)
    products = torch.einsum("ihc,jc->hij", for_query, for_key[:, 0])
    for query, row in enumerate(neighbours(length, kernel, dilation)):
        for key in row:
            expected = bias[:, (key - query) // dilation + kernel - 1] - bias.mean(dim=1)
            assert torch.allclose(products[:, query, key], expected, atol=1e-5)


def test_window_shifts_inward_and_an_even_one_reaches_left():
    assert neighbours(6, 3)[0] == (0, 1, 2)
    assert neighbours(6, 3)[5] == (3, 4, 5)
    assert neighbours(8, 4)[4] == (2, 3, 4, 5)
    assert neighbours(7, 3, dilation=2)[3] == (1, 3, 5)
    assert neighbours(7, 3, dilation=2)[6] == (2, 4, 6)
    assert neighbours(6, 3, causal=True)[1] == (0, 1)


@pytest.mark.parametrize(("kernel", "dilation"), [(0, 1), (3, 0), (11, 1), (4, 3)])
def test_a_window_that_does_not_fit_is_refused(kernel, dilation):
    q, k, v = qkv(10)
    with pytest.raises(ValueError, match="do not fit a length of 10"):
        neighborhood_attention(q, k, v, kernel, dilation)
