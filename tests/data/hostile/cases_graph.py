"""Graphs that are not ours: other data, operators, constants, inputs and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from hostile_case import attribute, case, passing_graph, put_first, tree_node
from onnx import TensorProto, helper, numpy_helper

# --- data outside the file --------------------------------------------------------------------------------------------


@case("external data")
def external_data_in_a_tree(model: Any) -> None:
    tensor = attribute(model, "leaf_weights").t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../../../etc/hostname")


@case("external data")
def external_data_in_an_initializer(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")


@case("external data")
def external_data_without_the_flag(model: Any) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="/etc/hostname")


# --- control flow, functions and the rest of ONNX ---------------------------------------------------------------------


@case("subgraph")
def branch_if(model: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    put_first(
        model,
        helper.make_node("If", ["yes"], ["chosen"], then_branch=passing_graph("one"), else_branch=passing_graph("two")),
    )


@case("subgraph")
def endless_loop(model: Any) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Identity", ["rows_in"], ["rows_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("rows_in", TensorProto.DOUBLE, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("rows_out", TensorProto.DOUBLE, None),
        ],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(2**62), "turns"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "go"))
    put_first(model, helper.make_node("Loop", ["turns", "go", "telemetry"], ["looped"], body=body))


@case("subgraph")
def scan(model: Any) -> None:
    row_in = helper.make_tensor_value_info("row_in", TensorProto.DOUBLE, None)
    row_out = helper.make_tensor_value_info("row_out", TensorProto.DOUBLE, None)
    body = helper.make_graph([helper.make_node("Identity", ["row_in"], ["row_out"])], "body", [row_in], [row_out])
    put_first(model, helper.make_node("Scan", ["telemetry"], ["scanned"], body=body, num_scan_inputs=1))


@case("subgraph")
def graph_in_the_tree_operator(model: Any) -> None:
    tree_node(model).attribute.append(helper.make_attribute("body", passing_graph()))


@case("subgraph")
def graphs_in_the_tree_operator(model: Any) -> None:
    tree_node(model).attribute.append(helper.make_attribute("bodies", [passing_graph()]))


@case("subgraph")
def nested_subgraphs(model: Any) -> None:
    graph = passing_graph("g0")
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    for depth in range(1, 12):
        result = helper.make_tensor_value_info(f"g{depth}_out", TensorProto.DOUBLE, None)
        other = passing_graph(f"h{depth}")
        node = helper.make_node("If", ["yes"], [f"g{depth}_out"], then_branch=graph, else_branch=other)
        graph = helper.make_graph([node], f"g{depth}", [], [result])
    put_first(model, helper.make_node("If", ["yes"], ["chosen"], then_branch=graph, else_branch=passing_graph("two")))


@case("model-local functions")
def local_function(model: Any) -> None:
    model.opset_import.append(helper.make_opsetid("local", 1))
    body = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(helper.make_function("local", "Same", ["a"], ["b"], body, [helper.make_opsetid("", 18)]))
    put_first(model, helper.make_node("Same", ["telemetry"], ["same"], domain="local"))


@case("training info")
def training_info(model: Any) -> None:
    model.training_info.add().algorithm.CopyFrom(passing_graph())


@case("sparse initializer")
def sparse_initializer(model: Any) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.dims.extend([2**40])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([1.0]), "sparse"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([5]), "sparse_indices"))


@case("domain 'com.example'")
def unknown_domain(model: Any) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    put_first(model, helper.make_node("Anything", ["telemetry"], ["anything"], domain="com.example"))


@case("domain 'com.microsoft'")
def domain_of_onnxruntime(model: Any) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    put_first(model, helper.make_node("Gelu", ["telemetry"], ["gelu"], domain="com.microsoft"))


@case("domain 'com.example'")
def unknown_domain_that_is_not_imported(model: Any) -> None:
    tree_node(model).domain = "com.example"


@case("no tree operator")
def arithmetic_instead_of_trees(model: Any) -> None:
    arithmetic = helper.make_node("Neg", ["telemetry"], ["path_length"])
    tree_node(model).CopyFrom(arithmetic)


@case("path_length is not made by", "compat")
def product_instead_of_the_sum(model: Any) -> None:
    model.graph.node[2].op_type = "Mul"


@case("made twice")
def name_that_is_made_twice(model: Any) -> None:
    model.graph.node[2].output[0] = model.graph.node[1].output[0]


@case("made twice or has no name")
def constant_that_shadows_the_input(model: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(1.0), "telemetry"))


@case("nothing makes the output severity")
def output_that_nothing_makes(model: Any) -> None:
    del model.graph.node[-1]


@case("does not read 'telemetry' alone")
def trees_with_two_inputs(model: Any) -> None:
    tree_node(model).input.append("telemetry")


@case("does not read 'trees_parts' alone", "compat")
def sum_of_something_else(model: Any) -> None:
    model.graph.node[1].input[0] = "telemetry"


@case("opsets")
def another_opset(model: Any) -> None:
    model.opset_import[0].version = 17


@case("operator 'ConstantOfShape'")
def constant_of_absurd_shape(model: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**33, 3]), "shape"))
    zero = numpy_helper.from_array(np.zeros(1), "zero")
    put_first(model, helper.make_node("ConstantOfShape", ["shape"], ["zeros"], value=zero))


@case("operator 'Expand'")
def expanded_absurdly(model: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**30, 1, 3]), "shape"))
    put_first(model, helper.make_node("Expand", ["telemetry", "shape"], ["expanded"]))


@case("operator 'RandomNormalLike'")
def random_readings(model: Any) -> None:
    put_first(model, helper.make_node("RandomNormalLike", ["telemetry"], ["random"]))


@case("the trees must come first")
def arithmetic_before_the_trees(model: Any) -> None:
    put_first(model, helper.make_node("Neg", ["telemetry"], ["negated"]))


@case("the trees must come first")
def two_tree_operators(model: Any) -> None:
    second = model.graph.node.add()
    second.CopyFrom(tree_node(model))
    second.output[0] = "again"


@case("more than 64")
def too_many_nodes(model: Any) -> None:
    for number in range(1000):
        model.graph.node.append(helper.make_node("Neg", ["path_length"], [f"unused_{number}"]))


@case("nothing before it makes")
def no_trees(model: Any) -> None:
    del model.graph.node[0]


@case("reads 'path_length'")
def trees_that_read_their_output(model: Any) -> None:
    tree_node(model).input[0] = "path_length"


# --- constants --------------------------------------------------------------------------------------------------------


@case("says it has 1099511627776")
def absurd_initializer(model: Any) -> None:
    tensor = model.graph.initializer.add(name="huge", data_type=TensorProto.DOUBLE)
    tensor.dims.append(2**40)


@case("says it has 18446744073709551616")
def dimensions_that_overflow(model: Any) -> None:
    tensor = model.graph.initializer.add(name="huge", data_type=TensorProto.DOUBLE)
    tensor.dims.extend([2**32, 2**32])


@case("dims more than 2 times")
def many_dimensions(model: Any) -> None:
    tensor = model.graph.initializer.add(name="deep", data_type=TensorProto.DOUBLE, raw_data=bytes(8))
    tensor.dims.extend([1] * 10_000)


@case("says it has 18446744073709551615")
def negative_dimension(model: Any) -> None:
    tensor = model.graph.initializer.add(name="negative", data_type=TensorProto.DOUBLE, raw_data=bytes(8))
    tensor.dims.extend([-1])


@case("field 6")
def texts_as_constants(model: Any) -> None:
    model.graph.initializer.append(helper.make_tensor("texts", TensorProto.STRING, [1], [b"x"]))


@case("more than 3 values")
def large_constant(model: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(64), "large"))


@case("field 10")
def constant_in_another_field(model: Any) -> None:
    model.graph.initializer.append(helper.make_tensor("typed", TensorProto.DOUBLE, [1], [1.0]))


@case("more than 64")
def too_many_constants(model: Any) -> None:
    for number in range(1000):
        model.graph.initializer.append(numpy_helper.from_array(np.array(0.0), f"unused_{number}"))


# --- inputs and outputs -----------------------------------------------------------------------------------------------


@case("its input is not")
def input_of_another_name(model: Any) -> None:
    model.graph.input[0].name = "readings"
    tree_node(model).input[0] = "readings"


@case("its input is not")
def input_of_floats(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


@case("its input is not")
def input_without_width(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "F"


@case("its input is not")
def second_input(model: Any) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.DOUBLE, ["N", 3]))


@case("its input is not")
def no_input(model: Any) -> None:
    del model.graph.input[:]


@case("takes 4 features, its sidecar lists 3")
def another_width(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4


@case("takes 9223372036854775807 features")
def absurd_width(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**63 - 1


@case("its outputs are not")
def output_of_another_type(model: Any) -> None:
    model.graph.output[4].type.tensor_type.elem_type = TensorProto.FLOAT


@case("its outputs are not")
def output_missing(model: Any) -> None:
    del model.graph.output[4]


@case("its outputs are not")
def outputs_in_another_order(model: Any) -> None:
    model.graph.output[0].name, model.graph.output[4].name = "path_length", "label"


@case("its outputs are not")
def absurd_output(model: Any) -> None:
    model.graph.output[4].type.tensor_type.shape.dim[1].dim_value = 2**50


@case("value_info")
def stated_shapes(model: Any) -> None:
    model.graph.value_info.append(helper.make_tensor_value_info("exponent", TensorProto.DOUBLE, [2**50]))
