import pytest
import torch
from torch import nn

from aaam_pipeline import models
from aaam_pipeline.core.errors import ParamsError
from aaam_pipeline.models import ModelParams
from aaam_pipeline.models.network import SelfAttention


def small(attention: str = "dense", labels: int = 4) -> models.Network:
    torch.manual_seed(2)
    return models.create("vgg_small", attention, labels, size=32)


def test_create_builds_what_its_arguments_say() -> None:
    network = models.create(backbone="vgg_small", attention="depthwise", num_labels=7, size=48, dropout=0.1)
    assert isinstance(network.attention, SelfAttention)
    assert network.attention.filters.groups == 160
    assert network.attention.filters.kernel_size == (3, 3)
    assert network.classifier.out_features == 7
    assert [each.p for each in network.modules() if isinstance(each, nn.Dropout)] == [0.1]


def test_without_attention_the_layer_is_absent() -> None:
    assert list(small("none").attention.parameters()) == []


def test_create_refuses_an_unknown_backbone() -> None:
    with pytest.raises(ParamsError):
        models.create("vgg_17", size=32)


def test_predictions_are_the_sigmoid_of_a_linear_function_of_the_embedding() -> None:
    network, images = small().eval(), torch.randn(3, 3, 32, 32)
    probs_BL, embedding_BD = network.predict(images)
    assert not probs_BL.requires_grad
    logits_BL = embedding_BD.clone() @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(probs_BL, logits_BL.sigmoid())
    torch.testing.assert_close(network(images), logits_BL)
    assert probs_BL.shape == (3, 4)
    assert embedding_BD.shape == (3, network.embedding_dim)


def test_a_new_attention_layer_does_not_disturb_the_backbone() -> None:
    images = torch.randn(2, 3, 32, 32)
    network = small().eval()
    expected = network.neck(network.pool(network.features(images)))
    torch.testing.assert_close(network.embed(images), expected)


def test_the_attention_is_part_of_the_network() -> None:
    network, images = small().eval(), torch.randn(2, 3, 32, 32)
    before = network(images)
    nn.init.normal_(network.attention.filters.weight)  # type: ignore[union-attr, arg-type]
    assert not torch.allclose(network(images), before)


@pytest.mark.parametrize("attention", ["dense", "depthwise", "none"])
def test_every_parameter_is_in_exactly_one_group(attention: str) -> None:
    network = small(attention)
    grouped = [id(parameter) for members in network.groups().values() for parameter in members]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in network.parameters()}
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for group, members in network.groups().items():
        heads = ("neck", "classifier") if group == "classifier" else (group,)
        assert all(names[id(each)].startswith(heads) for each in members)


def frozen(layers: int, batch_norm: str = "frozen") -> models.Network:
    torch.manual_seed(3)
    params = ModelParams("vgg_small", "none", dropout=0.0, batch_norm=batch_norm, frozen_layers=layers)  # type: ignore[arg-type]
    network = models.Network(params, 4, 32)
    for layer in network.features.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # statistics that folding has to respect
            layer.running_mean = torch.rand_like(layer.weight)
            layer.running_var = torch.rand_like(layer.weight) + 0.5
    return network


def test_frozen_layers_give_the_same_map_in_training_as_in_evaluation() -> None:
    network, images = frozen(layers=6), torch.randn(3, 3, 32, 32)
    evaluated = network.eval()(images)
    trained = network.train()(images)
    torch.testing.assert_close(trained, evaluated, rtol=1e-5, atol=1e-5)
    assert trained.requires_grad


@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_a_step_leaves_frozen_layers_and_their_statistics_as_they_are(batch_norm: str) -> None:
    network = frozen(6, batch_norm).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained = [parameter for group in network.groups().values() for parameter in group]
    network(100 * torch.randn(3, 3, 32, 32)).square().sum().backward()
    torch.optim.SGD(trained, 0.1).step()
    after = network.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    kept = {name for name in before if name.startswith("features.") and int(name.split(".")[1]) < 6}
    assert len(kept) > 6
    assert not changed & kept
    assert "features.6.weight" in changed


def test_frozen_layers_are_in_no_group() -> None:
    network = frozen(6)
    grouped = {id(parameter) for group in network.groups().values() for parameter in group}
    for name, parameter in network.named_parameters():
        kept = name.startswith("features.") and int(name.split(".")[1]) < 6
        assert (id(parameter) in grouped) != kept
        assert parameter.requires_grad != kept


def test_new_weights_are_folded_anew() -> None:
    network, images = frozen(6).train(), torch.randn(2, 3, 32, 32)
    network.load_state_dict({name: 0.5 * tensor for name, tensor in network.state_dict().items()})
    torch.testing.assert_close(network.train()(images), network.eval()(images), rtol=1e-5, atol=1e-5)


def test_not_all_layers_can_be_frozen() -> None:
    for count in (24, 25):
        with pytest.raises(ParamsError, match="vgg_small has 25 layers, and one has to be left"):
            frozen(count)
