"""Tree operators that are no forest."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hostile_case import SOUND, attribute, case, set_ints, set_tensor, tree_node
from onnx import TensorProto, helper, numpy_helper

# --- trees of the exact profile ---------------------------------------------------------------------------------------


@case("points outside")
def leaf_out_of_range(model: Any) -> None:
    set_ints(model, "nodes_truenodeids", {0: 10_000_000})


@case("points outside")
def node_out_of_range(model: Any) -> None:
    set_ints(model, "nodes_falsenodeids", {0: 2**31 - 1})


@case("out of range")
def negative_child(model: Any) -> None:
    set_ints(model, "nodes_falsenodeids", {0: -1})


@case("out of range")
def child_beyond_32_bits(model: Any) -> None:
    set_ints(model, "nodes_falsenodeids", {0: 2**40})


@case("reached more than once")
def node_that_is_its_own_child(model: Any) -> None:
    set_ints(model, "nodes_falsenodeids", {0: 0})


@case("reached more than once")
def cycle(model: Any) -> None:
    set_ints(model, "nodes_falsenodeids", {1: 0})


@case("never reached")
def cycle_apart(model: Any) -> None:
    set_ints(model, "nodes_falseleafs", {0: 1})  # node 0 no longer leads to node 1
    set_ints(model, "nodes_falsenodeids", {0: 3, 2: 1})
    set_ints(model, "nodes_falseleafs", {2: 0})


@case("reached more than once")
def shared_node(model: Any) -> None:
    set_ints(model, "nodes_trueleafs", {0: 0})
    set_ints(model, "nodes_truenodeids", {0: 1})


def chain(model: Any, count: int, *, shared: bool) -> None:
    """Make the trees a single chain of ``count`` nodes; where ``shared``, both branches of each lead to the next."""
    last = count - 1
    following = [min(node + 1, last) for node in range(count)]
    is_last = [int(node == last) for node in range(count)]
    leaves = 2 if shared else count + 1
    lists = {
        "tree_roots": [0],
        "nodes_featureids": [0] * count,
        "nodes_missing_value_tracks_true": [0] * count,
        "nodes_falsenodeids": [0 if end else node for node, end in zip(following, is_last, strict=True)],
        "nodes_falseleafs": is_last,
        "nodes_truenodeids": [1] * count if shared else list(range(1, count + 1)),
        "nodes_trueleafs": is_last if shared else [1] * count,
        "leaf_targetids": [0] * leaves,
    }
    if shared:
        lists["nodes_truenodeids"] = [1 if end else node for node, end in zip(following, is_last, strict=True)]
    for name, values in lists.items():
        attribute(model, name).ints[:] = values
    tensors = {
        "nodes_modes": np.zeros(count, np.uint8),
        "nodes_splits": np.arange(count, dtype=np.float64),
        "leaf_weights": np.ones(leaves),
    }
    for name, array in tensors.items():
        attribute(model, name).t.CopyFrom(numpy_helper.from_array(array, name))


def long_chain(count: int = 100_000) -> bytes:
    """A tree so deep that a reader that recurses runs out of stack."""
    model = onnx.load_model_from_string(SOUND["exact"].read_bytes())
    chain(model, count, shared=False)
    data: bytes = model.SerializeToString()
    return data


@case("reached more than once")
def doubling_at_every_node(model: Any) -> None:
    chain(model, 60, shared=True)


@case("deeper than 64")
def deep_chain(model: Any) -> None:
    chain(model, 100, shared=False)


@case("feature 3")
def feature_beyond_the_input(model: Any) -> None:
    set_ints(model, "nodes_featureids", {0: 3})


@case("feature 2000000000")
def feature_far_beyond_the_input(model: Any) -> None:
    set_ints(model, "nodes_featureids", {0: 2_000_000_000})


@case("nodes_featureids holds a number out of range")
def negative_feature(model: Any) -> None:
    set_ints(model, "nodes_featureids", {0: -1})


@case("no tree nodes")
def no_nodes(model: Any) -> None:
    for item in tree_node(model).attribute:
        if item.name.startswith("nodes_"):
            del item.ints[:]
            if item.HasField("t"):
                item.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item.t)[:0], item.t.name))


@case("nodes_splits has 7")
def fewer_splits(model: Any) -> None:
    tensor = attribute(model, "nodes_splits").t
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:-1], tensor.name))


@case("nodes_modes has 1")
def fewer_modes(model: Any) -> None:
    tensor = attribute(model, "nodes_modes").t
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:1], tensor.name))


@case("nodes_truenodeids has 7")
def fewer_children(model: Any) -> None:
    del attribute(model, "nodes_truenodeids").ints[-1]


@case("nodes_featureids has 7")
def fewer_features(model: Any) -> None:
    del attribute(model, "nodes_featureids").ints[-1]


@case("leaf_targetids has 9")
def fewer_leaf_targets(model: Any) -> None:
    del attribute(model, "leaf_targetids").ints[-1]


@case("leaf_weights")
def nan_in_a_leaf(model: Any) -> None:
    set_tensor(model, "leaf_weights", {3: np.nan})


@case("leaf_weights")
def infinity_in_a_leaf(model: Any) -> None:
    set_tensor(model, "leaf_weights", {3: np.inf})


@case("nodes_splits")
def nan_as_threshold(model: Any) -> None:
    set_tensor(model, "nodes_splits", {0: np.nan})


@case("aggregate_function")
def averaged_trees(model: Any) -> None:
    attribute(model, "aggregate_function").i = 0


@case("attribute 'post_transform'")
def post_transform(model: Any) -> None:
    tree_node(model).attribute.append(helper.make_attribute("post_transform", 4))


@case("nodes_modes")
def unknown_mode(model: Any) -> None:
    set_tensor(model, "nodes_modes", {0: 200})


@case("nodes_modes")
def membership_mode_without_members(model: Any) -> None:
    set_tensor(model, "nodes_modes", {0: 6})


@case("points outside")
def root_out_of_range(model: Any) -> None:
    set_ints(model, "tree_roots", {1: 1_000_000})


@case("reached more than once")
def root_twice(model: Any) -> None:
    set_ints(model, "tree_roots", {1: 0})


@case("tree_roots")
def no_roots(model: Any) -> None:
    del attribute(model, "tree_roots").ints[:]


@case("leaf_targetids")
def leaf_for_a_target_that_is_not_there(model: Any) -> None:
    set_ints(model, "leaf_targetids", {0: 1_000_000})


@case("n_targets")
def absurd_number_of_targets(model: Any) -> None:
    attribute(model, "n_targets").i = 2**40


@case("nodes_splits")
def splits_of_floats(model: Any) -> None:
    tensor = attribute(model, "nodes_splits").t
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


@case("nodes_falseleafs")
def flag_that_is_no_flag(model: Any) -> None:
    set_ints(model, "nodes_falseleafs", {0: 7})


@case("no attribute 'nodes_modes'")
def attribute_missing(model: Any) -> None:
    kept = [item for item in tree_node(model).attribute if item.name != "nodes_modes"]
    del tree_node(model).attribute[:]
    tree_node(model).attribute.extend(kept)


@case("'nodes_modes' twice")
def attribute_twice(model: Any) -> None:
    second = tree_node(model).attribute.add()
    second.CopyFrom(attribute(model, "nodes_modes"))


@case("is of type 1")
def attribute_of_another_type(model: Any) -> None:
    attribute(model, "nodes_featureids").type = onnx.AttributeProto.FLOAT


@case("attribute 'nodes_hitrates'")
def unknown_attribute(model: Any) -> None:
    tree_node(model).attribute.append(helper.make_attribute("nodes_hitrates", [1]))


@case("never reached")
def leaf_that_no_node_reaches(model: Any) -> None:
    attribute(model, "leaf_targetids").ints.append(0)
    tensor = attribute(model, "leaf_weights").t
    weights = np.append(numpy_helper.to_array(tensor), 1.0)
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))


# --- trees of the compat profile --------------------------------------------------------------------------------------


@case("points outside", "compat")
def compat_child_out_of_range(model: Any) -> None:
    set_ints(model, "nodes_truenodeids", {0: 1_000_000})


@case("points outside", "compat")
def compat_child_in_another_tree(model: Any) -> None:
    set_ints(model, "nodes_truenodeids", {0: 7})


@case("reached more than once", "compat")
def compat_cycle(model: Any) -> None:
    set_ints(model, "nodes_falsenodeids", {1: 0})


@case("reached more than once", "compat")
def compat_shared_leaf(model: Any) -> None:
    set_ints(model, "nodes_truenodeids", {0: 4})


@case("feature 3", "compat")
def compat_feature_beyond_the_input(model: Any) -> None:
    set_ints(model, "nodes_featureids", {0: 3})


@case("nodes_modes", "compat")
def compat_unknown_mode(model: Any) -> None:
    attribute(model, "nodes_modes").strings[0] = b"BRANCH_MEMBER"


@case("nodes_modes has 17", "compat")
def compat_fewer_modes(model: Any) -> None:
    del attribute(model, "nodes_modes").strings[-1]


@case("target", "compat")
def compat_target_that_is_not_there(model: Any) -> None:
    set_ints(model, "target_ids", {0: 1_000_000})


@case("target", "compat")
def compat_value_for_a_branch(model: Any) -> None:
    set_ints(model, "target_nodeids", {0: 0})


@case("target", "compat")
def compat_value_in_another_tree(model: Any) -> None:
    set_ints(model, "target_treeids", {0: 1})


@case("nodes_nodeids", "compat")
def compat_node_twice(model: Any) -> None:
    set_ints(model, "nodes_nodeids", {1: 0})


@case("nodes_treeids", "compat")
def compat_trees_out_of_order(model: Any) -> None:
    set_ints(model, "nodes_treeids", {0: 1})


@case("aggregate_function", "compat")
def compat_averaged(model: Any) -> None:
    attribute(model, "aggregate_function").s = b"AVERAGE"


@case("post_transform", "compat")
def compat_post_transform(model: Any) -> None:
    attribute(model, "post_transform").s = b"SOFTMAX"


@case("n_targets", "compat")
def compat_absurd_number_of_targets(model: Any) -> None:
    attribute(model, "n_targets").i = 2**31 - 1


@case("target_weights_as_tensor", "compat")
def compat_nan_in_a_leaf(model: Any) -> None:
    set_tensor(model, "target_weights_as_tensor", {0: np.nan})


@case("nodes_values_as_tensor", "compat")
def compat_nan_as_threshold(model: Any) -> None:
    set_tensor(model, "nodes_values_as_tensor", {0: np.nan})


@case("nodes_values_as_tensor has 1", "compat")
def compat_fewer_thresholds(model: Any) -> None:
    tensor = attribute(model, "nodes_values_as_tensor").t
    tensor.CopyFrom(numpy_helper.from_array(np.ones(1), tensor.name))


@case("more than 3 values", "compat")
def compat_wide_sum(model: Any) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "trees_ones":
            tensor.CopyFrom(numpy_helper.from_array(np.ones((3, 4096)), "trees_ones"))


@case("ones", "compat")
def compat_other_factors(model: Any) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "trees_ones":
            tensor.CopyFrom(numpy_helper.from_array(np.array([[1.0], [1.0], [2.0]]), "trees_ones"))


@case("to", "compat")
def compat_cast_to_text(model: Any) -> None:
    model.graph.node[1].attribute[0].i = TensorProto.STRING
