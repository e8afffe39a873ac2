"""Who may write files, open images, print, run programs and read the environment, proved from the source."""

import ast

import pytest

from tests.sources import TREES, calls, each_source, imports, own_imports

WRITERS = {"artifacts/writer.py", "artifacts/lock.py"}
IMAGE_READER = "dataset/reader.py"
PRINTER = "terminal.py"
RUNNER = "leaderboard/client.py"
ENVIRONMENT_READERS = {"config.py", RUNNER}
# Switches of libraries that only exist as environment variables, set before their import.
ENVIRONMENT_SWITCHES = {"dataset/augment.py": {"NO_ALBUMENTATIONS_UPDATE"}}


STREAM_TYPES = ("io.BytesIO", "BinaryIO", "io.StringIO", "TextIO")


def streams_in_memory(name: str) -> set[str]:
    """Return the variables that hold a buffer, or a file that the writer opened: anybody may write there."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func) in ("io.BytesIO", "io.StringIO"):
                found |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            opened = ast.unparse(node.context_expr)
            if opened.startswith(("writer.publish_stream(", "io.BytesIO(", "io.StringIO(")):
                found.add(ast.unparse(node.optional_vars))
        elif isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation) in STREAM_TYPES:
            found.add(node.arg)
    return found


ALWAYS_WRITES = {
    *("write_text", "write_bytes", "touch", "mkdir", "makedirs", "unlink", "rmdir", "rename", "renames"),
    *("symlink_to", "hardlink_to", "symlink", "link", "chmod", "truncate", "ftruncate", "pwrite", "tofile"),
    *("imwrite", "imwritemulti", "save_file", "savefig", "write_image", "write_html", "open_memmap"),
    *("copy2", "copyfile", "copytree", "move", "rmtree", "make_archive", "unpack_archive", "extractall"),
    *("mkdtemp", "mkstemp", "NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile"),
}
WRITES_TO_ITS_FIRST_ARGUMENT = {
    *("save", "savez", "savez_compressed", "savetxt", "to_csv", "to_parquet", "to_json", "to_pickle"),
    *("to_feather", "to_excel", "write_table", "dump"),
}


def writes(name: str, call: ast.Call, called: str) -> bool:
    """Tell whether a call writes to the disk by itself, not to memory and not through our writer."""
    base, _, method = called.rpartition(".")
    text = [ast.unparse(argument) for argument in (*call.args, *(keyword.value for keyword in call.keywords))]
    if method in ALWAYS_WRITES or called in ("os.remove", "os.replace", "shutil.copy"):
        return True
    if method == "replace":  # Path.replace has one argument, text's two, dataclasses' keywords
        return len(text) == 1
    if method in WRITES_TO_ITS_FIRST_ARGUMENT:
        ours = any(module.rpartition(".")[2] == base for module in own_imports(name))
        returns_bytes = called == "safetensors.torch.save" or (method.startswith("to_") and not call.args)
        return not ours and not returns_bytes and text[0] not in streams_in_memory(name)
    if method in ("open", "memmap", "ZipFile", "fdopen"):
        modes = [part.strip("'") for part in text if part.startswith("'") and len(part) <= 5]
        flags = " ".join(text) if called == "os.open" else ""
        writing_flag = any(flag in flags for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"))
        return writing_flag or any(set(mode) & set("wax+c") for mode in modes)
    return False


@each_source
def test_only_the_writer_writes_files(name):
    if name not in WRITERS:
        found = [
            f"{name}:{call.lineno} {called}" for call, called in calls(name) if writes(name, call, called)
        ]
        assert not found


@pytest.mark.parametrize(
    "line",
    [
        *("open(path, 'w')", "path.open(mode='ab')", "open(path, 'r+b')", "path.write_text('x')"),
        *("np.save(path, x)", "torch.save(x, buffer)", "table.to_csv(path)", "table.to_parquet(path)"),
        *("image.save(path)", "os.replace(a, b)", "a.replace(b)", "path.mkdir()", "json.dump(x, stream)"),
        *("os.open(path, os.O_RDWR)", "np.memmap(path, 'uint8', 'w+')", "shutil.copy(a, b)"),
    ],
)
def test_writing_is_noticed(line, monkeypatch):
    monkeypatch.setitem(TREES, "invented.py", ast.parse(line))
    assert any(writes("invented.py", call, called) for call, called in calls("invented.py"))


@pytest.mark.parametrize(
    "line",
    [
        *("open(path, 'rb')", "path.open('rb')", "'a'.replace('b', 'c')", "replace(config, seed=1)"),
        *(
            "stream = io.BytesIO()\nnp.save(stream, x)",
            "table.to_csv(index=False)",
            "os.open(p, os.O_RDONLY)",
        ),
        *(
            "with writer.publish_stream(path) as stream:\n  image.save(stream, 'PNG')",
            "zipfile.ZipFile(path)",
        ),
    ],
)
def test_reading_and_memory_are_no_writing(line, monkeypatch):
    monkeypatch.setitem(TREES, "invented.py", ast.parse(line))
    assert not any(writes("invented.py", call, called) for call, called in calls("invented.py"))


@each_source
def test_only_the_reader_opens_images(name):
    decoders = {"imread", "imreadmulti", "imdecode", "imdecodemulti", "VideoCapture"}
    pillow = {
        alias.asname or alias.name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "PIL"
        for alias in node.names
    }
    found = []
    for call, called in calls(name):
        base, _, method = called.rpartition(".")
        if method in decoders or (method == "open" and base in {*pillow, "PIL.Image"}):
            found.append(f"{name}:{call.lineno} {called}")
    assert not found or name == IMAGE_READER, found
    assert not imports(name) & {"imageio", "skimage.io", "torchvision.io", "matplotlib.image"}


@each_source
def test_only_the_terminal_prints(name):
    if name != PRINTER:
        names = {
            ast.unparse(node) for node in ast.walk(TREES[name]) if isinstance(node, ast.Name | ast.Attribute)
        }
        assert not names & {"print", "sys.stdout", "sys.stderr", "rich.print"}
        assert not any(module.split(".")[0] == "rich" for module in imports(name))


@each_source
def test_only_the_client_runs_programs(name):
    if name != RUNNER:
        assert "subprocess" not in imports(name)
        running = ("os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn", "pty.spawn")
        assert not [called for _, called in calls(name) if called.startswith(running)]


@each_source
def test_environment_is_read_in_one_place(name):
    switches = ENVIRONMENT_SWITCHES.get(name, set())
    allowed = {f"os.environ.setdefault('{switch}', '1')" for switch in switches}
    set_here = {ast.unparse(call.func) for call, _ in calls(name) if ast.unparse(call) in allowed}
    assert len(set_here) == bool(allowed)
    uses = [
        f"{name}:{node.lineno}"
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb")
    ]
    assert name in ENVIRONMENT_READERS or len(uses) == len(allowed), uses
