"""Scans a SavedModel before it is loaded: a graph is a program, and may write files, call Python or open connections.

The operations that may be in one are those that TensorFlow's registry calls stateless, without those that reach outside
all the same, and a short list of stateful ones: variables, tables, control flow, random numbers. Every graph and every
function is scanned, initializers included. Files are read by the initializer of a table alone, if it reads an asset of
the same folder, and by what restores variables.
"""

from __future__ import annotations

import functools
import pathlib
import re
import typing
from collections.abc import Iterable, Iterator

from ssagan_tf.core import files
from ssagan_tf.errors import UserError

_MAX_BYTES = 2**31 - 1  # of a message
_OTHER_GRAPHS = ("saved_model.cpb", "saved_model.pbtxt")  # which a loader may read instead
# Stateless by the registry, but with files, processes, devices, other programs or a debugger.
_OUTSIDE = re.compile(
    r"^_|Xla|TPU|Tpu|Mlir|Risc|DTensor|PyFunc|Dataset|Iterator|Reader|Proto$|ProtoV2|Debug|^Copy|Queue|Barrier|Abort"
    r"|Symbolic|^Batch$|BatchFunction|Unbatch|ImmutableConst|MatchingFiles|Snapshot|Prelinearize"
)
_OUTSIDE_ARGUMENT = re.compile(r"file|^path$|address|url|descriptor|memory_region|debug")
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_STATEFUL = {
    *_CALLS,
    *("If", "While", "Case", "Assert", "GuaranteeConst"),
    *("VarHandleOp", "ReadVariableOp", "AssignVariableOp", "VarIsInitializedOp", "VariableShape", "VariableV2"),
    *("AssignAddVariableOp", "AssignSubVariableOp", "DestroyResourceOp", "DisableCopyOnRead"),
    *("ResourceGather", "ResourceGatherNd", "ResourceScatterUpdate"),
    *("HashTableV2", "MutableHashTableV2", "MutableDenseHashTableV2", "InitializeTableV2", "LookupTableSizeV2"),
    *("LookupTableFindV2", "LookupTableImportV2", "LookupTableExportV2", "LookupTableInsertV2"),
    *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "Multinomial", "RandomShuffle"),
    *("TensorArrayV3", "TensorArrayReadV3", "TensorArrayWriteV3", "TensorArrayGatherV3", "TensorArrayScatterV3"),
    *("TensorArraySizeV3", "TensorArrayCloseV3", "TensorArraySplitV3", "TensorArrayConcatV3"),
}
# Which file they read is checked by `_comes_from_the_folder`; the number is that of the input.
_READS = {"InitializeTableFromTextFileV2": 1, "RestoreV2": 0}
_SAVES = {"SaveV2", "MergeV2Checkpoints"}
_SAVER = {*_SAVES, "RestoreV2", "ShardedFilename"}  # in every SavedModel, to be run by whoever saves and restores


def check(folder: pathlib.Path) -> None:
    """Refuses a SavedModel that could do more than compute.

    Raises:
        UserError: it cannot be read, or holds an operation that is not on the list; names it.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    other = [name for name in _OTHER_GRAPHS if (folder / name).exists()]
    if other:
        raise _refused(folder, f"{other[0]}, another form of the graph")
    for file in (path for part in ("assets", "variables") for path in (folder / part).rglob("*")):
        files.inside(folder, str(file.relative_to(folder)))
    path = files.inside(folder, "saved_model.pb")
    try:
        model = saved_model_pb2.SavedModel.FromString(files.read_regular(path, _MAX_BYTES))
    except (OSError, DecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise UserError(f"The SavedModel cannot be read. Received: {path}: {reason}. Use another copy.") from error
    # One graph with objects is loaded by its objects; else the main graph is run.
    by_objects = len(model.meta_graphs) == 1 and model.meta_graphs[0].HasField("object_graph_def")
    found = sorted({each for meta_graph in model.meta_graphs for each in _Scan(meta_graph, by_objects).problems()})
    if found:
        raise _refused(folder, ", ".join(found[:10]))


def _refused(folder: pathlib.Path, what: str) -> UserError:
    return UserError(
        f"The SavedModel may do more than compute. Received: {folder} with {what}. "
        "Do not load it, or export it again without that."
    )


@functools.cache
def _registry() -> dict[str, bool]:
    """TensorFlow's operations, and whether each is allowed."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    listed = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {op.name: op.name in _STATEFUL | set(_READS) | _SAVER or _only_computes(op) for op in listed.op}


def _only_computes(op) -> bool:
    arguments = [argument.name for argument in (*op.input_arg, *op.attr)]
    outside = _OUTSIDE.search(op.name) or any(map(_OUTSIDE_ARGUMENT.search, arguments))
    return not op.is_stateful and not outside


class _Scan:
    """A graph with its functions, and what is wrong in them."""

    def __init__(self, meta_graph, by_objects: bool):
        self.meta_graph = meta_graph
        self.by_objects = by_objects
        self.functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
        self.main = {node.name: node for node in meta_graph.graph_def.node}
        self.nodes = {name: {node.name: node for node in each.node_def} for name, each in self.functions.items()}
        self.objects = meta_graph.object_graph_def
        self.assets = {_node_of(each.tensor_info.name) for each in meta_graph.asset_file_def}
        self.restored = _node_of(meta_graph.saver_def.filename_tensor_name)

    def problems(self) -> Iterator[str]:
        for each in self.meta_graph.asset_file_def:
            if pathlib.PurePath(each.filename).name != each.filename:
                yield f"an asset outside of the folder, {each.filename!r}"
        everything = [self.main, *self.nodes.values()]
        yield from (node.op for nodes in everything for node in nodes.values() if not self._allowed(node.op))
        running = self._reached(self._roots(), self._named_functions())
        yield from (f"{node.op} outside of saving" for node in running if node.op in _SAVER)
        restoring = self._reached([_node_of(self.meta_graph.saver_def.restore_op_name)], [])
        yield from (f"{node.op} in restoring" for node in restoring if node.op in _SAVES)
        for function, nodes in [(None, self.main), *self.nodes.items()]:
            for node in nodes.values():
                if node.op in _READS and not self._comes_from_the_folder(function, node.input[_READS[node.op]], set()):
                    yield f"{node.op} of a file that is no asset"

    def _allowed(self, op: str) -> bool:
        return _registry().get(op, op in self.functions)

    # === What runs ===

    def _roots(self) -> Iterator[str]:
        """Nodes of the main graph that are run by name: signatures, initializers, whatever a collection names."""
        from tensorflow.core.framework import variable_pb2

        for signature in self.meta_graph.signature_def.values():
            for info in (*signature.inputs.values(), *signature.outputs.values()):
                yield from map(_node_of, (info.name, *(part.name for part in _components(info))))
        for collection in self.meta_graph.collection_def.values():
            yield from map(_node_of, collection.node_list.value)
            for content in collection.bytes_list.value:
                try:
                    variable = variable_pb2.VariableDef.FromString(content)
                except Exception:  # not every collection holds variables
                    continue
                names = variable.initializer_name, variable.initial_value_name, variable.snapshot_name
                yield from map(_node_of, names)

    def _named_functions(self) -> set[str]:
        """Functions that Python can call: those that the objects name."""
        named = set(self.objects.concrete_functions)
        for node in self.objects.nodes:
            named |= {*node.function.concrete_functions, node.bare_concrete_function.concrete_function_name}
        return named

    def _reached(self, nodes: Iterable[str], functions: Iterable[str]) -> list:
        """All nodes that run when these nodes of the main graph and these functions do."""
        todo, seen, reached = list(nodes), set(), []
        calls = list(functions)
        while todo:
            name = todo.pop()
            if name not in seen and name in self.main:
                seen.add(name)
                reached.append(self.main[name])
                todo += map(_node_of, self.main[name].input)
        calls += [name for node in reached for name in self._called(node)]
        done: set[str] = set()
        while calls:
            name = calls.pop()
            if name not in done and name in self.functions:
                done.add(name)
                reached += self.nodes[name].values()
                calls += [other for node in self.nodes[name].values() for other in self._called(node)]
        return reached

    def _called(self, node) -> list[str]:
        values = node.attr.values()
        lists = [function.name for value in values for function in value.list.func]
        return [node.op, *(value.func.name for value in values if value.HasField("func")), *lists]

    # === Which file is read ===

    def _comes_from_the_folder(self, function: str | None, tensor: str, seen: set[tuple[str, int]]) -> bool:
        """Whether a file's name is an asset's, or that of the variables; by way of functions' arguments, too."""
        name = _node_of(tensor)
        nodes = self.main if function is None else self.nodes[function]
        while name in nodes and nodes[name].op == "Identity":
            name = _node_of(nodes[name].input[0])
        if function is None:
            return (
                self.by_objects
                or name in self.assets
                or (name == self.restored and nodes[name].op.startswith("Placeholder"))
            )
        arguments = [argument.name for argument in self.functions[function].signature.input_arg]
        if name not in arguments:
            return False
        place = arguments.index(name)
        if (function, place) in seen:
            return True
        seen.add((function, place))
        return self._bound_to_asset(function, place, len(arguments)) and all(
            caller.op in {*_CALLS, function} and self._comes_from_the_folder(where, caller.input[place], seen)
            for where, caller in self._callers(function)
        )

    def _bound_to_asset(self, function: str, place: int, arguments: int) -> bool:
        """Whether Python, if it can call the function, always gives it an asset at this place."""
        if function not in self._named_functions():
            return True
        concrete = self.objects.concrete_functions
        bound = concrete[function].bound_inputs if function in concrete else []
        index = place - (arguments - len(bound))
        return index >= 0 and self.objects.nodes[bound[index]].HasField("asset")

    def _callers(self, function: str) -> Iterator[tuple[str | None, typing.Any]]:
        for where, nodes in [(None, self.main), *self.nodes.items()]:
            yield from ((where, node) for node in nodes.values() if function in self._called(node))


def _components(info) -> Iterable:
    sparse = info.coo_sparse
    names = [sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name]
    return [*info.composite_tensor.components, *(type(info)(name=name) for name in names if name)]


def _node_of(tensor: str) -> str:
    """The name of the node that a tensor, or a control input, comes from."""
    return tensor.removeprefix("^").partition(":")[0]
