"""SavedModels that reach outside are refused by the name of the operation, and nothing of them has run."""

import pathlib

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ssagan_tf import UserError
from ssagan_tf.core import saved_model_scan, third_party_models
from ssagan_tf.core.files import BUNDLED_MODEL

TEXTS = [tf.TensorSpec([None], tf.string)]


def save(folder, function, **attributes):
    """A SavedModel whose signature is a function of texts."""
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    module.serve = tf.function(function, TEXTS, autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def change(folder, edit):
    """Edits the graph of a SavedModel on disk."""
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    edit(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())


def in_a_loop(texts):
    step = lambda i, x: (i + 1, tf.io.read_file("/etc/passwd"))  # noqa: E731
    return tf.while_loop(lambda i, _: i < 1, step, [0, texts[0]])[1]


NAMES = {"tensor_names": ["a"], "shape_and_slices": [""]}
REACHING = {
    "WriteFile": lambda texts: (tf.io.write_file("/tmp/written", texts[0]), tf.identity(texts))[1],
    "ReadFile": lambda texts: tf.io.read_file(texts[0]),
    "MatchingFiles": lambda texts: tf.io.matching_files(texts[0]),
    "EagerPyFunc": lambda texts: tf.py_function(lambda text: text, [texts], tf.string),
    "PyFunc": lambda texts: tf.numpy_function(lambda text: text, [texts], tf.string),
    "PrintV2": lambda texts: (tf.print(texts, output_stream="file:///tmp/printed"), texts)[1],
    "TextLineDataset": lambda texts: tf.data.TextLineDataset(texts).reduce(b"", lambda old, line: line),
    "SaveV2 outside of saving": lambda texts: (tf.raw_ops.SaveV2(prefix="/tmp/x", tensors=[texts], **NAMES), texts)[1],
    "RestoreV2 outside of saving": lambda texts: tf.raw_ops.RestoreV2(prefix=texts[0], dtypes=[tf.string], **NAMES)[0],
}


@pytest.mark.parametrize("name", REACHING)
def test_an_operation_that_reaches_outside_is_refused_by_name(name, tmp_path):
    folder = save(tmp_path / "model", REACHING[name])
    with pytest.raises(UserError, match=f"may do more than compute. Received: .*{name}") as refused:
        third_party_models.load(folder)
    assert "\n" not in str(refused.value)


def test_it_is_found_in_a_loop_in_a_function_and_in_an_unused_one(tmp_path):
    with pytest.raises(UserError, match="with ReadFile"):
        saved_model_scan.check(save(tmp_path / "loop", in_a_loop))
    called = tf.function(lambda texts: tf.io.read_file(texts[0]), TEXTS)
    with pytest.raises(UserError, match="with ReadFile"):
        saved_model_scan.check(save(tmp_path / "called", lambda texts: texts, unused=called))


def test_an_initializer_that_would_write_is_refused_before_it_runs(tmp_path):
    """A table's initializer runs while a SavedModel is loaded."""
    written = tmp_path / "written"

    class Writing(tf.lookup.StaticHashTable):
        def _initialize(self):
            tf.io.write_file(str(written), "here")
            return super()._initialize()

    hostile = Writing(tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64)), 0)
    folder = save(tmp_path / "model", lambda texts: hostile.lookup(texts), table=hostile)
    tf.saved_model.load(str(folder))
    assert written.exists()  # what loading does where nobody looks first
    written.unlink()
    with pytest.raises(UserError, match="with WriteFile"):
        third_party_models.load(folder)
    assert not written.exists()


def text_model(folder, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    initializer = tf.lookup.TextFileInitializer(
        str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    lookup = tf.lookup.StaticHashTable(initializer, -1)
    return save(folder, lambda texts: lookup.lookup(texts), table=lookup)


def test_a_table_reads_an_asset_and_no_other_file(tmp_path):
    folder = text_model(tmp_path / "model", tmp_path)
    loaded = third_party_models.load(folder)
    assert loaded.signatures["serving_default"](tf.constant(["b"]))["output_0"].numpy() == [1]

    def read_passwords(graph):
        for function in graph.graph_def.library.function:
            if any(node.op == "InitializeTableFromTextFileV2" for node in function.node_def):
                constant = function.node_def.add(name="other", op="Const")
                constant.attr["dtype"].type = tf.string.as_datatype_enum
                constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/passwd"))
                for node in function.node_def:
                    if node.op == "InitializeTableFromTextFileV2":
                        node.input[1] = "other:output:0"

    change(folder, read_passwords)
    with pytest.raises(UserError, match="InitializeTableFromTextFileV2 of a file that is no asset"):
        third_party_models.load(folder)


def test_an_asset_stays_in_its_folder(tmp_path):
    folder = text_model(tmp_path / "model", tmp_path)
    change(folder, lambda graph: setattr(graph.asset_file_def[0], "filename", "../../../../etc/passwd"))
    with pytest.raises(UserError, match="an asset outside of the folder, '../../../../etc/passwd'"):
        third_party_models.load(folder)
    folder = text_model(tmp_path / "linked", tmp_path)
    (folder / "assets" / "words.txt").unlink()
    (folder / "assets" / "words.txt").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="A link leads out of the folder. Received: .*words.txt, linked to /etc/passwd"):
        third_party_models.load(folder)


def test_a_second_form_of_the_graph_is_refused(tmp_path):
    folder = save(tmp_path / "model", lambda texts: texts)
    (folder / "saved_model.cpb").write_bytes(b"")
    with pytest.raises(UserError, match="with saved_model.cpb, another form of the graph"):
        third_party_models.load(folder)


def test_our_own_exports_pass():
    third_party_models.load(BUNDLED_MODEL / "1")


def test_whatever_opens_files_processes_or_connections_is_not_on_the_list():
    """By hand: what a reader of TensorFlow's source would not want to find."""
    outside = """ReadFile WriteFile MatchingFiles SaveSlices Save Restore RestoreSlice FixedLengthRecordReader
        WholeFileReader TFRecordReader TextLineReader LMDBReader PyFunc PyFuncStateless EagerPyFunc Print PrintV2
        RemoteCall Send Recv RpcServer RpcCall DataServiceDataset TFRecordDataset CacheDataset SnapshotDataset
        AudioSummary GenerateVocabRemapping LoadAndRemapMatrix InitializeTableFromTextFile ImmutableConst XlaCallModule
        XlaCustomCall XlaCustomCallV2 DebugIdentity DebugIdentityV2 DebugNumericSummaryV2 EncodeProto DecodeProtoV2
        Abort
        CollectiveReduceV2 SummaryWriter CreateSummaryFileWriter WriteSummary RegisterDataset BatchFunction
        SymbolicGradient
        """.split()
    known = saved_model_scan._registry()
    assert {"MatMul", "Conv2D", "StringSplitV2", "While", "LookupTableFindV2"} <= {
        name for name in known if known[name]
    }
    allowed = {name for name in outside if known.get(name)}
    assert allowed <= {"AudioSummary"}  # makes a message, writes nothing
    assert len(set(outside) & set(known)) > 40


def test_a_damaged_one_is_told(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="The SavedModel cannot be read. Received: .*it is damaged"):
        third_party_models.load(tmp_path)
    with pytest.raises(UserError, match="The SavedModel cannot be read. Received: .*No such file"):
        third_party_models.load(pathlib.Path(tmp_path / "nothing"))
